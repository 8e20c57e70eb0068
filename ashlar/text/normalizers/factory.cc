#include "ashlar/text/factory.h"

#include "ashlar/text/growth.h"
#include "ashlar/text/normalizers/normalizer.h"

#include <vector>

namespace ashlar::text {
namespace {

class Sequence : public Normalizer {
 public:
  explicit Sequence(JsonView json) { add_steps(json); }
  void normalize(std::string& text) const override {
    each_step(text, [&](const Normalizer& step) { step.normalize(text); });
  }
  void normalize_first(std::string& text) const override {
    each_step(text, [&](const Normalizer& step) { step.normalize_first(text); });
  }

 private:
  template <typename Apply>
  void each_step(const std::string& text, Apply&& apply) const {
    const size_t before = text.size();
    for (const auto& step : steps_) {
      apply(*step);
      check_growth("normalizer Sequence", before, text.size());
    }
  }

  // Sequences inside of it are taken apart, so that the limit holds for all of them together.
  void add_steps(JsonView json) {
    const JsonView steps = json.at("normalizers");
    for (size_t i = 0; i < steps.size(); ++i) {
      if (steps.element(i).at("type").string() == "Sequence") {
        add_steps(steps.element(i));
      } else {
        steps_.push_back(make_normalizer(steps.element(i)));
      }
    }
  }

  std::vector<std::unique_ptr<Normalizer>> steps_;
};

std::unique_ptr<Normalizer> make_sequence(JsonView json) {
  return std::make_unique<Sequence>(json);
}

constexpr FactoryRow<Normalizer> kRows[] = {
    {"BertNormalizer", make_bert_normalizer},
    {"ByteLevel", make_byte_level_normalizer},
    {"Lowercase", make_lowercase},
    {"NFC", make_unicode_form},
    {"NFD", make_unicode_form},
    {"NFKC", make_unicode_form},
    {"NFKD", make_unicode_form},
    {"Nmt", make_nmt},
    {"Precompiled", make_precompiled},
    {"Prepend", make_prepend},
    {"Replace", make_replace},
    {"Sequence", make_sequence},
    {"Strip", make_strip},
    {"StripAccents", make_strip_accents},
};

}  // namespace

std::unique_ptr<Normalizer> make_normalizer(JsonView json) {
  return make_component<Normalizer>("normalizer", json, kRows);
}

}  // namespace ashlar::text
