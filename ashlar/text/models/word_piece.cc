// WordPiece: the longest token that starts the word, then the longest that continues it (with a
// prefix), and so on; a word that cannot be covered is unknown as a whole. (Wu et al., "Google's
// Neural Machine Translation System", 2016, as BERT uses it.)
#include "ashlar/base/error.h"
#include "ashlar/base/utf8.h"
#include "ashlar/text/models/model.h"

#include <algorithm>

namespace ashlar::text {
namespace {

class WordPiece : public Model {
 public:
  explicit WordPiece(JsonView json)
      : vocabulary_(Vocabulary::from_json(json.at("vocab"))),
        prefix_(json.string_or("continuing_subword_prefix", "##")),
        max_chars_(100) {
    const auto max_chars = json.find("max_input_chars_per_word");
    if (max_chars) max_chars_ = max_chars->integer(0, INT64_MAX);
    const JsonView unknown = json.at("unk_token");
    const auto id = vocabulary_.find(unknown.string());
    if (!id) unknown.fail("is not in the vocabulary");
    unknown_ = *id;
    // No token is longer, so a search need not start from further away: linear in the word's
    // length.
    for (int32_t i = 0; i < vocabulary_.id_limit(); ++i) {
      if (const auto token = vocabulary_.token(i)) longest_ = std::max(longest_, token->size());
    }
  }

  std::string_view type() const override { return "WordPiece"; }
  const Vocabulary& vocabulary() const override { return vocabulary_; }

  void tokenize(std::string_view piece, Alphabet alphabet, ModelScratch&,
                std::vector<int32_t>& ids) const override {
    std::string storage;
    const std::string_view word = piece_text(piece, alphabet, storage);
    const size_t before = ids.size();
    if (count_chars(word) > max_chars_ || !cover(word, ids)) {
      ids.resize(before);
      ids.push_back(unknown_);
    }
  }

 private:
  static int64_t count_chars(std::string_view text) {
    int64_t chars = 0;
    for (const char c : text) chars += (c & 0xC0) != 0x80;
    return chars;
  }

  bool cover(std::string_view word, std::vector<int32_t>& ids) const {
    std::string candidate;
    for (size_t at = 0; at < word.size();) {
      candidate = at == 0 ? "" : prefix_;
      const size_t prefix = candidate.size();
      const size_t room = longest_ > prefix ? longest_ - prefix : 0;
      size_t length = std::min(room, word.size() - at);
      candidate.append(word.substr(at, length));
      std::optional<int32_t> id;
      for (; length > 0; --length) {
        const bool at_boundary = at + length == word.size() || (word[at + length] & 0xC0) != 0x80;
        if (!at_boundary) continue;
        id = vocabulary_.find(std::string_view(candidate).substr(0, prefix + length));
        if (id) break;
      }
      if (!id) return false;
      ids.push_back(*id);
      at += length;
    }
    return true;
  }

  Vocabulary vocabulary_;
  std::string prefix_;
  int64_t max_chars_;
  int32_t unknown_ = 0;
  size_t longest_ = 0;
};

}  // namespace

std::unique_ptr<Model> make_word_piece(JsonView json) { return std::make_unique<WordPiece>(json); }

}  // namespace ashlar::text
