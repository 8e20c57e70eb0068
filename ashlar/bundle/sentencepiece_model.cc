#include "ashlar/bundle/sentencepiece_model.h"

#include "ashlar/base/error.h"
#include "ashlar/base/lfs_pointer.h"
#include "ashlar/bundle/gguf_tokenizer.h"

#include <bit>
#include <cstdint>
#include <cstring>
#include <functional>
#include <vector>

namespace ashlar::bundle {
namespace {

// Numbers of fields in sentencepiece_model.proto.
enum Model : uint64_t { kPieces = 1, kTrainer = 2, kNormalizer = 3 };
enum Piece : uint64_t { kText = 1, kScore = 2, kKind = 3 };
enum Trainer : uint64_t {
  kModelType = 3,
  kSpaceSuffix = 24,
  kUnknownId = 40,
  kBosId = 41,
  kEosId = 42,
  kPadId = 43
};
enum Normalizer : uint64_t { kCharsMap = 2, kDummyPrefix = 3, kExtraSpaces = 4 };
enum ModelType : uint64_t { kUnigram = 1, kBpe = 2, kWord = 3, kChar = 4 };

// One field of a message: a number (varint or fixed), or bytes.
struct Field {
  uint64_t number = 0, value = 0;
  std::string_view bytes{};
};

class Message {
 public:
  Message(std::string_view bytes, const std::string& where) : bytes_(bytes), where_(where) {}

  void each_field(const std::function<void(const Field&)>& visit) {
    while (!bytes_.empty()) {
      const uint64_t tag = varint();
      Field field{.number = tag >> 3};
      switch (tag & 7) {
        case 0:
          field.value = varint();
          break;
        case 1:
          field.value = fixed<uint64_t>();
          break;
        case 2:
          field.bytes = take(varint());
          break;
        case 5:
          field.value = fixed<uint32_t>();
          break;
        default:
          fail("{}: is no SentencePiece model: field {} has wire type {}", where_, field.number,
               tag & 7);
      }
      visit(field);
    }
  }

 private:
  std::string_view take(uint64_t size) {
    ASHLAR_CHECK(size <= bytes_.size(), "{}: is no SentencePiece model, or is cut short", where_);
    const std::string_view taken = bytes_.substr(0, static_cast<size_t>(size));
    bytes_.remove_prefix(taken.size());
    return taken;
  }

  uint64_t varint() {
    uint64_t value = 0;
    for (int shift = 0; shift < 64; shift += 7) {
      const auto byte = static_cast<unsigned char>(take(1)[0]);
      value |= static_cast<uint64_t>(byte & 0x7f) << shift;
      if (byte < 0x80) return value;
    }
    fail("{}: is no SentencePiece model: a number of more than 64 bits", where_);
  }

  template <typename T>
  uint64_t fixed() {
    T value;
    std::memcpy(&value, take(sizeof(T)).data(), sizeof(T));
    return value;
  }

  std::string_view bytes_;
  const std::string& where_;
};

struct Pieces {
  std::vector<std::string> texts;
  std::vector<double> scores;
  std::vector<int64_t> kinds;
};

void read_piece(std::string_view bytes, const std::string& where, Pieces& pieces) {
  pieces.texts.emplace_back();
  pieces.scores.push_back(0);
  pieces.kinds.push_back(1);  // a normal piece
  Message(bytes, where).each_field([&](const Field& field) {
    if (field.number == kText) pieces.texts.back() = field.bytes;
    if (field.number == kScore) {
      pieces.scores.back() =
          static_cast<double>(std::bit_cast<float>(static_cast<uint32_t>(field.value)));
    }
    if (field.number == kKind) pieces.kinds.back() = static_cast<int64_t>(field.value);
  });
}

}  // namespace

formats::GgufMetadata parse_sentencepiece_model(std::string_view bytes, const std::string& where) {
  check_no_lfs_pointer(bytes, where);
  Pieces pieces;
  uint64_t type = kUnigram;
  int64_t unknown = 0, bos = 1, eos = 2, pad = -1;
  bool prefix = true, extra_spaces = true, suffix = false;
  std::vector<int64_t> map;
  // Negative ids mean "none".
  const auto id = [](const Field& field) { return static_cast<int32_t>(field.value); };
  Message(bytes, where).each_field([&](const Field& part) {
    if (part.number == kPieces) read_piece(part.bytes, where, pieces);
    if (part.number == kTrainer) {
      Message(part.bytes, where).each_field([&](const Field& field) {
        if (field.number == kModelType) type = field.value;
        if (field.number == kSpaceSuffix) suffix = field.value != 0;
        if (field.number == kUnknownId) unknown = id(field);
        if (field.number == kBosId) bos = id(field);
        if (field.number == kEosId) eos = id(field);
        if (field.number == kPadId) pad = id(field);
      });
    }
    if (part.number == kNormalizer) {
      Message(part.bytes, where).each_field([&](const Field& field) {
        if (field.number == kCharsMap) {
          for (const char c : field.bytes) map.push_back(static_cast<unsigned char>(c));
        }
        if (field.number == kDummyPrefix) prefix = field.value != 0;
        if (field.number == kExtraSpaces) extra_spaces = field.value != 0;
      });
    }
  });
  ASHLAR_CHECK(type >= kUnigram && type <= kChar,
               "{}: model type {} is not known; known are Unigram (1), BPE (2), words (3) and "
               "characters (4)",
               where, type);
  ASHLAR_CHECK(!pieces.texts.empty(), "{}: is no SentencePiece model: it has no pieces", where);

  formats::GgufMetadata metadata(where);
  metadata.set("tokenizer.ggml.model", type == kBpe    ? "llama"
                                       : type == kWord ? kWords
                                       : type == kChar ? kChars
                                                       : "t5");
  metadata.set(kSpaceAsSuffix, suffix);
  metadata.set_texts("tokenizer.ggml.tokens", std::move(pieces.texts));
  metadata.set_f32s("tokenizer.ggml.scores", std::move(pieces.scores));
  metadata.set_i32s("tokenizer.ggml.token_type", std::move(pieces.kinds));
  const auto set = [&](const char* key, int64_t value) {
    if (value >= 0) metadata.set_u32(key, value);
  };
  set("tokenizer.ggml.unknown_token_id", unknown);
  set("tokenizer.ggml.bos_token_id", bos);
  set("tokenizer.ggml.eos_token_id", eos);
  set("tokenizer.ggml.padding_token_id", pad);
  metadata.set("tokenizer.ggml.add_space_prefix", prefix);
  metadata.set("tokenizer.ggml.remove_extra_whitespaces", extra_spaces);
  if (!map.empty()) metadata.set_i32s("tokenizer.ggml.precompiled_charsmap", std::move(map));
  return metadata;
}

}  // namespace ashlar::bundle
