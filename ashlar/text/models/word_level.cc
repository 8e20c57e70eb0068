// WordLevel: a piece is a token or unknown. With "fuse_unk", a key of ours, unknown neighbours are
// one, as in SentencePiece.
#include "ashlar/base/error.h"
#include "ashlar/text/models/model.h"

namespace ashlar::text {
namespace {

class WordLevel : public Model {
 public:
  explicit WordLevel(JsonView json)
      : vocabulary_(Vocabulary::from_json(json.at("vocab"))),
        unknown_text_(json.at("unk_token").string()),
        unknown_(vocabulary_.find(unknown_text_)),
        fuse_unknown_(json.boolean_or("fuse_unk", false)) {}

  std::string_view type() const override { return "WordLevel"; }
  const Vocabulary& vocabulary() const override { return vocabulary_; }

  void tokenize(std::string_view piece, Alphabet alphabet, ModelScratch&,
                std::vector<int32_t>& ids) const override {
    std::string storage;
    const std::string_view text = piece_text(piece, alphabet, storage);
    const std::optional<int32_t> id = vocabulary_.find(text);
    if (!id && !unknown_) {
      fail("WordLevel model: \"{}\" is no token and the vocabulary lacks unk_token \"{}\"", text,
           unknown_text_);
    }
    if (!id && fuse_unknown_ && !ids.empty() && ids.back() == *unknown_) return;
    ids.push_back(id ? *id : *unknown_);
  }

 private:
  Vocabulary vocabulary_;
  std::string unknown_text_;
  std::optional<int32_t> unknown_;
  bool fuse_unknown_;
};

}  // namespace

std::unique_ptr<Model> make_word_level(JsonView json) { return std::make_unique<WordLevel>(json); }

}  // namespace ashlar::text
