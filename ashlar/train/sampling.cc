#include "ashlar/train/sampling.h"

#include "ashlar/base/error.h"

#include <algorithm>

namespace ashlar::train {

generate::ModelOptions sampling_options(const TrainConfig& config,
                                        const models::DecoderConfig& model, int64_t prompt_tokens) {
  const int64_t wanted = prompt_tokens + config.sample.tokens;
  if (wanted > model.max_positions) {
    fail_usage("config sample.tokens: prompt and sample are {} tokens, the model's context is {}",
               wanted, model.max_positions);
  }
  generate::ModelOptions options;
  options.limits = {.tokens = 64, .seqs = 1, .outputs = 1, .context = wanted};
  if (config.train.master == Master::kNone) options.compute = config.train.dtype;
  return generate::resolve(options, model);
}

std::vector<int32_t> sample_prompt(const data::TokenizerEncoder& encoder,
                                   const std::string& prompt) {
  std::vector<int32_t> tokens = encoder.tokenizer().encode(prompt, true);
  if (tokens.empty() && encoder.document_end() >= 0) {
    tokens.push_back(encoder.document_end());  // a new document begins after one's end
  }
  if (tokens.empty()) fail_usage("config sample.prompt: samples need a text to go on from");
  return tokens;
}

Sampling::Sampling(const ModelSource& source, const TrainConfig& config,
                   const runtime::VariableStore& store, const kernels::KernelTable& table,
                   ThreadPool& pool)
    : tokenizer_(source.encoder.tokenizer()), seed_(static_cast<uint64_t>(config.train.seed)) {
  prompt_ = sample_prompt(source.encoder, config.sample.prompt);
  text_ = config.sample.prompt;
  options_.sampling.temperature = config.sample.temperature;
  options_.sampling.seed = seed_;
  options_.max_new = config.sample.tokens;
  for (const int64_t id : source.config.eos)
    options_.end_tokens.push_back(static_cast<int32_t>(id));

  const generate::ModelOptions model =
      sampling_options(config, source.config, static_cast<int64_t>(prompt_.size()));
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
