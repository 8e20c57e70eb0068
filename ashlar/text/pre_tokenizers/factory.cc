#include "ashlar/text/factory.h"

#include "ashlar/text/pre_tokenizers/pre_tokenizer.h"

#include <vector>

namespace ashlar::text {
namespace {

class Sequence : public PreTokenizer {
 public:
  explicit Sequence(JsonView json) {
    const JsonView steps = json.at("pretokenizers");
    for (size_t i = 0; i < steps.size(); ++i) {
      steps_.push_back(make_pre_tokenizer(steps.element(i)));
    }
  }
  void apply(Pieces& pieces) const override {
    for (const auto& step : steps_) step->apply(pieces);
  }
  bool ends_in_bytes() const override { return !steps_.empty() && steps_.back()->ends_in_bytes(); }

 private:
  std::vector<std::unique_ptr<PreTokenizer>> steps_;
};

std::unique_ptr<PreTokenizer> make_sequence(JsonView json) {
  return std::make_unique<Sequence>(json);
}

constexpr FactoryRow<PreTokenizer> kRows[] = {
    {"BertPreTokenizer", make_bert_pre_tokenizer},
    {"ByteLevel", make_byte_level_pre_tokenizer},
    {"CharDelimiterSplit", make_char_delimiter_split},
    {"Digits", make_digits},
    {"FixedLength", make_fixed_length},
    {"Metaspace", make_metaspace_pre_tokenizer},
    {"Punctuation", make_punctuation},
    {"Sequence", make_sequence},
    {"Split", make_split},
    {"UnicodeScripts", make_unicode_scripts},
    {"Whitespace", make_whitespace},
    {"WhitespaceSplit", make_whitespace_split},
};

}  // namespace

std::unique_ptr<PreTokenizer> make_pre_tokenizer(JsonView json) {
  return make_component<PreTokenizer>("pre_tokenizer", json, kRows);
}

}  // namespace ashlar::text
