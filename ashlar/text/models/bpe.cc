// The BPE model: words through a cache, else symbols and merges. A long piece (whole texts, where
// no pre-tokenizer cuts) is first cut wherever no merge reaches across, which changes no token.
#include "ashlar/base/error.h"
#include "ashlar/base/utf8.h"
#include "ashlar/text/models/bpe_merges.h"
#include "ashlar/text/models/bpe_symbols.h"
#include "ashlar/text/models/model.h"
#include "ashlar/text/models/word_cache.h"

namespace ashlar::text {
namespace {

struct BpeScratch : ModelScratch {
  WordCache cache;
  WordMerger merger;
  std::vector<int32_t> symbols;
  std::string text;
};

// The two tokens of a merge: ["a", "b"], or "a b" in older files.
std::pair<std::string_view, std::string_view> merge_pair(JsonView json) {
  if (json.is_string()) {
    const std::string_view text = json.string();
    const size_t space = text.find(' ');
    if (space == std::string_view::npos || text.find(' ', space + 1) != std::string_view::npos) {
      json.fail("wanted two tokens with one space between them");
    }
    return {text.substr(0, space), text.substr(space + 1)};
  }
  if (json.size() != 2) json.fail(fmt::format("wanted two tokens, found {}", json.size()));
  return {json.element(0).string(), json.element(1).string()};
}

class Bpe : public Model {
 public:
  explicit Bpe(JsonView json)
      : vocabulary_(Vocabulary::from_json(json.at("vocab"))),
        symbols_(json, vocabulary_),
        ignore_merges_(json.boolean_or("ignore_merges", false)) {
    if (const auto dropout = json.find("dropout"); dropout && dropout->number() != 0) {
      dropout->fail("dropout makes ids random, which is not supported; set it to null");
    }
    const JsonView merges = json.at("merges");
    merges_ = MergeTable(merges.size());
    joints_ = MergeTable(4 * merges.size());
    for (size_t i = 0; i < merges.size(); ++i) {
      const JsonView merge = merges.element(i);
      // The first line of a merges.txt, which some files have taken along.
      if (merge.is_string() && merge.string().starts_with("#version")) continue;
      add_merge(merge, static_cast<uint32_t>(i));
    }
  }

  std::string_view type() const override { return "BPE"; }
  const Vocabulary& vocabulary() const override { return vocabulary_; }
  std::unique_ptr<ModelScratch> make_scratch() const override {
    return std::make_unique<BpeScratch>();
  }
  bool covers_all_bytes() const override { return symbols_.has_all_bytes(); }

  void tokenize(std::string_view piece, Alphabet alphabet, ModelScratch& scratch,
                std::vector<int32_t>& ids) const override {
    auto& work = static_cast<BpeScratch&>(scratch);
    if (alphabet == Alphabet::kBytes && !symbols_.has_all_bytes()) {
      // Rare and slow: some byte has no token of its own, so the unknown token may be needed.
      piece = piece_text(piece, alphabet, work.text);
      alphabet = Alphabet::kText;
    }
    if (piece.size() <= WordCache::kMaxBytes) {
      tokenize_word(piece, alphabet, work, ids);
    } else if (const auto whole = whole_token(piece, alphabet); whole) {
      ids.push_back(*whole);
    } else if (symbols_.has_affixes() || ignore_merges_) {
      merge(piece, alphabet, work);
      ids.insert(ids.end(), work.symbols.begin(), work.symbols.end());
    } else {
      tokenize_long(piece, alphabet, work, ids);
    }
  }

 private:
  void add_merge(JsonView json, uint32_t rank) {
    const auto [left_text, right_text] = merge_pair(json);
    const auto id_of = [&](std::string_view token) {
      const auto id = symbols_.find(token);
      if (!id || token.empty()) {
        json.fail(fmt::format("token \"{}\" is not in the vocabulary", token));
      }
      return *id;
    };
    const int32_t left = id_of(left_text);
    const int32_t right = id_of(right_text);
    if (right_text.size() < symbols_.prefix().size()) {
      json.fail(fmt::format("\"{}\" lacks the continuing_subword_prefix \"{}\"", right_text,
                            symbols_.prefix()));
    }
    std::string merged(left_text);
    merged += right_text.substr(symbols_.prefix().size());
    merges_.set(left, right, {rank, id_of(merged)});
    for (const int32_t last : {last_symbol(left_text), as_byte_token(left_text, left)}) {
      for (const int32_t first : {first_symbol(right_text), as_byte_token(right_text, right)}) {
        if (last >= 0 && first >= 0) joints_.set(last, first, {0, 0});
      }
    }
  }

  // The symbols a token can begin and end with: its outer characters, or itself as a byte token.
  int32_t first_symbol(std::string_view token) const {
    return symbols_.of_char(decode_utf8(token.data()).value);
  }
  int32_t last_symbol(std::string_view token) const {
    return symbols_.of_char(decode_utf8(previous_utf8(token.data() + token.size())).value);
  }
  static int32_t as_byte_token(std::string_view token, int32_t id) {
    return token.size() == 6 && token.starts_with("<0x") ? id : -1;
  }

  std::optional<int32_t> whole_token(std::string_view piece, Alphabet alphabet) const {
    if (!ignore_merges_) return std::nullopt;
    std::string storage;
    return vocabulary_.find(piece_text(piece, alphabet, storage));
  }

  // A piece that fits into the cache.
  void tokenize_word(std::string_view word, Alphabet alphabet, BpeScratch& work,
                     std::vector<int32_t>& ids) const {
    const std::span<const int32_t> known = work.cache.find(word);
    if (!known.empty()) {
      ids.insert(ids.end(), known.begin(), known.end());
      return;
    }
    if (const auto whole = whole_token(word, alphabet)) {
      work.symbols.assign(1, *whole);
    } else {
      merge(word, alphabet, work);
    }
    work.cache.store(word, work.symbols);
    ids.insert(ids.end(), work.symbols.begin(), work.symbols.end());
  }

  // Cuts the piece between characters whose symbols no merge can join, then takes each part alone.
  void tokenize_long(std::string_view piece, Alphabet alphabet, BpeScratch& work,
                     std::vector<int32_t>& ids) const {
    size_t begin = 0;
    int32_t previous = -1;
    const auto take = [&](size_t end) {
      const std::string_view part = piece.substr(begin, end - begin);
      begin = end;
      if (part.size() <= WordCache::kMaxBytes) return tokenize_word(part, alphabet, work, ids);
      merge(part, alphabet, work);
      ids.insert(ids.end(), work.symbols.begin(), work.symbols.end());
    };
    for (size_t at = 0; at < piece.size();) {
      const DecodedChar c =
          alphabet == Alphabet::kBytes ? DecodedChar{0, 1} : decode_utf8(piece.data() + at);
      const int32_t symbol = alphabet == Alphabet::kBytes
                                 ? symbols_.of_byte(static_cast<uint8_t>(piece[at]))
                                 : symbols_.of_char(c.value);
      // A character that is no token stays with its neighbours: unknown ones may fuse.
      const bool tokens =
          previous >= 0 && symbol >= 0 && symbols_.is_token(previous) && symbols_.is_token(symbol);
      if (tokens && !joints_.contains(previous, symbol)) take(at);
      previous = symbol;
      at += c.length;
    }
    take(piece.size());
  }

  // Leaves the tokens in work.symbols.
  void merge(std::string_view piece, Alphabet alphabet, BpeScratch& work) const {
    work.symbols.clear();
    if (alphabet == Alphabet::kBytes) {
      for (const char byte : piece) {
        work.symbols.push_back(symbols_.of_byte(static_cast<uint8_t>(byte)));
      }
    } else {
      symbols_.append(piece, work.symbols);
    }
    work.merger.merge(merges_, work.symbols);
    symbols_.spell_out(work.symbols);
  }

  Vocabulary vocabulary_;
  BpeSymbols symbols_;
  bool ignore_merges_;
  MergeTable merges_;
  MergeTable joints_;  // pairs of symbols that some merge joins: the places no cut may be made
};

}  // namespace

std::unique_ptr<Model> make_bpe(JsonView json) { return std::make_unique<Bpe>(json); }

}  // namespace ashlar::text
