// BertProcessing and RobertaProcessing: [CLS] first [SEP] second [SEP]; RoBERTa has one more [SEP]
// before the second and tells no segments apart. Each part stays one.
#include "ashlar/text/post_processors/post_processor.h"
#include "ashlar/text/vocabulary.h"

namespace ashlar::text {
namespace {

// ["[SEP]", 102]
int32_t token_id(JsonView json) {
  return static_cast<int32_t>(json.element(1).integer(0, kMaxTokenId));
}

class ClassifierProcessor : public PostProcessor {
 public:
  ClassifierProcessor(JsonView json, bool roberta)
      : cls_(token_id(json.at("cls"))), sep_(token_id(json.at("sep"))), roberta_(roberta) {}

  std::vector<Encoding> process(std::vector<Encoding> parts,
                                bool add_special_tokens) const override {
    for (size_t i = 0; i < parts.size(); ++i) {
      if (roberta_) parts[i].type_ids.assign(parts[i].ids.size(), 0);
      if (!add_special_tokens) continue;
      enclose(parts[i], i);
      for (Encoding& piece : parts[i].overflowing) {
        if (roberta_) piece.type_ids.assign(piece.ids.size(), 0);
        enclose(piece, i);
      }
    }
    return parts;
  }

  size_t added_tokens(size_t texts) const override {
    if (texts == 1) return 2;
    return roberta_ ? 4 : 3;
  }

 private:
  void enclose(Encoding& part, size_t index) const {
    if (index == 0 || roberta_) {
      part.ids.insert(part.ids.begin(), index == 0 ? cls_ : sep_);
      part.type_ids.insert(part.type_ids.begin(), 0);
    }
    part.ids.push_back(sep_);
    part.type_ids.push_back(index == 0 || roberta_ ? 0 : 1);
  }

  int32_t cls_, sep_;
  bool roberta_;
};

}  // namespace

std::unique_ptr<PostProcessor> make_bert_processing(JsonView json) {
  return std::make_unique<ClassifierProcessor>(json, false);
}

std::unique_ptr<PostProcessor> make_roberta_processing(JsonView json) {
  return std::make_unique<ClassifierProcessor>(json, true);
}

}  // namespace ashlar::text
