#include "ashlar/text/factory.h"

#include "ashlar/text/post_processors/post_processor.h"

namespace ashlar::text {
namespace {

class Identity : public PostProcessor {
 public:
  std::vector<Encoding> process(std::vector<Encoding> parts, bool) const override { return parts; }
  size_t added_tokens(size_t) const override { return 0; }
  bool is_identity() const override { return true; }
};

// One step after the other, each on the parts that the one before left.
class Sequence : public PostProcessor {
 public:
  explicit Sequence(std::vector<std::unique_ptr<PostProcessor>> steps) : steps_(std::move(steps)) {}

  std::vector<Encoding> process(std::vector<Encoding> parts,
                                bool add_special_tokens) const override {
    for (const auto& step : steps_) parts = step->process(std::move(parts), add_special_tokens);
    return parts;
  }
  size_t added_tokens(size_t texts) const override {
    size_t count = 0;
    for (const auto& step : steps_) count += step->added_tokens(texts);
    return count;
  }
  bool is_identity() const override { return steps_.empty(); }

 private:
  std::vector<std::unique_ptr<PostProcessor>> steps_;
};

std::unique_ptr<PostProcessor> make_sequence(JsonView json) {
  const JsonView list = json.at("processors");
  std::vector<std::unique_ptr<PostProcessor>> steps;
  for (size_t i = 0; i < list.size(); ++i) {
    auto step = make_post_processor(list.element(i));
    if (!step->is_identity()) steps.push_back(std::move(step));
  }
  return std::make_unique<Sequence>(std::move(steps));
}

constexpr FactoryRow<PostProcessor> kRows[] = {
    {"BertProcessing", make_bert_processing},         {"ByteLevel", make_identity_processor},
    {"RobertaProcessing", make_roberta_processing},   {"Sequence", make_sequence},
    {"TemplateProcessing", make_template_processing},
};

}  // namespace

void Encoding::append(const Encoding& other) {
  std::vector<Encoding> pieces;
  const auto combine = [&pieces](const Encoding& front, const Encoding& back) {
    Encoding& whole = pieces.emplace_back();
    for (const Encoding* part : {&front, &back}) {
      whole.ids.insert(whole.ids.end(), part->ids.begin(), part->ids.end());
      whole.type_ids.insert(whole.type_ids.end(), part->type_ids.begin(), part->type_ids.end());
    }
  };
  for (const Encoding& piece : overflowing) {
    combine(piece, other);
    for (const Encoding& others : other.overflowing) combine(piece, others);
  }
  for (const Encoding& others : other.overflowing) combine(*this, others);
  ids.insert(ids.end(), other.ids.begin(), other.ids.end());
  type_ids.insert(type_ids.end(), other.type_ids.begin(), other.type_ids.end());
  overflowing = std::move(pieces);
}

std::unique_ptr<PostProcessor> make_post_processor(std::optional<JsonView> json) {
  if (!json) return std::make_unique<Identity>();
  return make_component<PostProcessor>("post_processor", *json, kRows);
}

std::unique_ptr<PostProcessor> make_identity_processor(JsonView) {
  return std::make_unique<Identity>();
}

}  // namespace ashlar::text
