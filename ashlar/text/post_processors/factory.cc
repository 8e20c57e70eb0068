#include "ashlar/text/factory.h"

#include "ashlar/text/post_processors/post_processor.h"

namespace ashlar::text {
namespace {

class Identity : public PostProcessor {
 public:
  Encoding process(std::span<const std::vector<int32_t>> sequences, bool) const override {
    Encoding out;
    for (size_t i = 0; i < sequences.size(); ++i) {
      out.ids.insert(out.ids.end(), sequences[i].begin(), sequences[i].end());
      out.type_ids.resize(out.ids.size(), static_cast<int32_t>(i));
    }
    return out;
  }
  size_t added_tokens(size_t) const override { return 0; }
  bool is_identity() const override { return true; }
};

// The steps that change ids; more than one has no meaning we know of.
std::unique_ptr<PostProcessor> make_sequence(JsonView json) {
  const JsonView steps = json.at("processors");
  std::unique_ptr<PostProcessor> chosen = std::make_unique<Identity>();
  for (size_t i = 0; i < steps.size(); ++i) {
    auto step = make_post_processor(steps.element(i));
    if (step->is_identity()) continue;
    if (!chosen->is_identity()) {
      steps.element(i).fail("a second step that adds tokens is not supported");
    }
    chosen = std::move(step);
  }
  return chosen;
}

constexpr FactoryRow<PostProcessor> kRows[] = {
    {"BertProcessing", make_bert_processing},         {"ByteLevel", make_identity_processor},
    {"RobertaProcessing", make_roberta_processing},   {"Sequence", make_sequence},
    {"TemplateProcessing", make_template_processing},
};

}  // namespace

std::unique_ptr<PostProcessor> make_post_processor(std::optional<JsonView> json) {
  if (!json) return std::make_unique<Identity>();
  return make_component<PostProcessor>("post_processor", *json, kRows);
}

std::unique_ptr<PostProcessor> make_identity_processor(JsonView) {
  return std::make_unique<Identity>();
}

}  // namespace ashlar::text
