#include "ashlar/train/sampling.h"

#include "ashlar/base/error.h"
#include "ashlar/generate/open_model.h"

#include <algorithm>

namespace ashlar::train {

Sampling::Sampling(const ModelSource& source, const TrainConfig& config,
                   const runtime::VariableStore& store, const kernels::KernelTable& table,
                   ThreadPool& pool)
    : tokenizer_(source.encoder.tokenizer()), seed_(static_cast<uint64_t>(config.train.seed)) {
  prompt_ = tokenizer_.encode(config.sample.prompt, true);
  if (prompt_.empty() && source.encoder.document_end() >= 0) {
    prompt_.push_back(source.encoder.document_end());  // a new document begins after one's end
  }
  if (prompt_.empty()) fail_usage("config sample.prompt: samples need a text to go on from");
  text_ = config.sample.prompt;
  options_.sampling.temperature = config.sample.temperature;
  options_.sampling.seed = seed_;
  options_.max_new = config.sample.tokens;
  for (const int64_t id : source.config.eos)
    options_.end_tokens.push_back(static_cast<int32_t>(id));

  const int64_t wanted = static_cast<int64_t>(prompt_.size()) + config.sample.tokens;
  if (wanted > source.config.max_positions) {
    fail_usage("config sample.tokens: prompt and sample are {} tokens, the model's context is {}",
               wanted, source.config.max_positions);
  }
  generate::ModelOptions model;
  model.limits = {.tokens = 64, .seqs = 1, .outputs = 1, .context = wanted};
  if (config.train.master == Master::kNone) model.compute = config.train.dtype;
  model = generate::resolve(model, source.config);
  runner_ = std::make_unique<generate::ModelRunner>(
      generate::build_serving_graph(source.config, model), model.limits, store, table, pool);
  generator_ = std::make_unique<generate::Generator>(*runner_, &tokenizer_);
}

int64_t Sampling::planned_bytes() const {
  const runtime::Executor& executor = runner_->executor();
  int64_t bytes = executor.plan().total_bytes();
  for (const graph::Variable& variable : executor.graph().variables()) {
    if (variable.kind == graph::VariableKind::kCache) {
      bytes += variable.shape.elements() * size_of(variable.dtype);
    }
  }
  return bytes;
}

std::string Sampling::run(int64_t step) {
  generator_->weights_changed();
  options_.sampling.stream = static_cast<uint64_t>(step);
  return text_ + generator_->generate(prompt_, options_).text;
}

}  // namespace ashlar::train
