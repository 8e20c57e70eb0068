#include "ashlar/text/models/bpe_symbols.h"

#include "ashlar/base/error.h"
#include "ashlar/text/byte_chars.h"
#include "ashlar/text/unicode/utf8.h"

namespace ashlar::text {

BpeSymbols::BpeSymbols(JsonView json, const Vocabulary& vocabulary)
    : vocabulary_(vocabulary),
      prefix_(json.string_or("continuing_subword_prefix", "")),
      suffix_(json.string_or("end_of_word_suffix", "")),
      fuse_unknown_(json.boolean_or("fuse_unk", false)),
      byte_fallback_(json.boolean_or("byte_fallback", false)),
      low_(kTable, -1) {
  if (const auto unknown = json.find("unk_token")) {
    unknown_text_ = unknown->string();
    unknown_ = vocabulary.find(*unknown_text_);
  }
  for (int32_t id = 0; id < vocabulary.id_limit(); ++id) {
    const std::string_view token = vocabulary.token(id).value_or("");
    if (token.empty() || utf8_length(token[0]) != token.size()) continue;
    const char32_t c = decode_utf8(token.data()).value;
    if (c < kTable) {
      low_[c] = id;
    } else {
      high_[c] = id;
    }
  }
  for (unsigned byte = 0; byte < 256; ++byte) {
    bytes_[byte] = of_char(byte_char(static_cast<uint8_t>(byte)));
    has_all_bytes_ = has_all_bytes_ && bytes_[byte] >= 0 && !has_affixes();
    fallback_[byte] =
        byte_fallback_ ? vocabulary.find(fmt::format("<0x{:02X}>", byte)).value_or(-1) : -1;
  }
}

void BpeSymbols::append(std::string_view text, std::vector<int32_t>& symbols) const {
  // The last unknown character waits here, since more of them may join it into one token. Byte
  // tokens do not end the wait: the reference's order, whatever one thinks of it.
  bool waiting = false;
  const auto flush = [&] {
    if (waiting) symbols.push_back(*unknown_);
    waiting = false;
  };
  std::string affixed;
  for (size_t at = 0; at < text.size();) {
    const DecodedChar c = decode_utf8(text.data() + at);
    std::string_view symbol = text.substr(at, c.length);
    int32_t id;
    if (has_affixes()) {
      affixed.assign(at == 0 ? "" : prefix_).append(symbol);
      if (at + c.length == text.size()) affixed += suffix_;
      symbol = affixed;
      id = vocabulary_.find(symbol).value_or(-1);
    } else {
      id = of_char(c.value);
    }
    at += c.length;
    if (id >= 0) {
      flush();
      symbols.push_back(id);
    } else if (!append_fallback(symbol, symbols) && unknown_text_) {
      ASHLAR_CHECK(unknown_,
                   "BPE model: \"{}\" has no token and unk_token \"{}\" is not in the "
                   "vocabulary",
                   symbol, *unknown_text_);
      if (!fuse_unknown_) flush();
      waiting = true;
    }
  }
  flush();
}

bool BpeSymbols::append_fallback(std::string_view text, std::vector<int32_t>& symbols) const {
  if (!byte_fallback_) return false;
  const size_t before = symbols.size();
  for (const char byte : text) {
    const int32_t id = fallback_[static_cast<uint8_t>(byte)];
    if (id < 0) {
      symbols.resize(before);
      return false;
    }
    symbols.push_back(id);
  }
  return true;
}

}  // namespace ashlar::text
