// Text written by the model while it learns: the serving graph over the trainer's own parameters.
#pragma once

#include "ashlar/base/thread_pool.h"
#include "ashlar/generate/generator.h"
#include "ashlar/generate/open_model.h"
#include "ashlar/train/model_source.h"

#include <cstdint>
#include <memory>
#include <string>
#include <vector>

namespace ashlar::train {

// How the model runs for samples of config.sample.tokens behind a prompt. Throws UsageError where
// both do not fit the model's context.
generate::ModelOptions sampling_options(const TrainConfig& config,
                                        const models::DecoderConfig& model, int64_t prompt_tokens);

// The prompt's tokens, or the end of a document where it has none. Throws UsageError for neither.
std::vector<int32_t> sample_prompt(const data::TokenizerEncoder& encoder,
                                   const std::string& prompt);

class Sampling {
 public:
  // All but the config outlive this.
  Sampling(const ModelSource& source, const TrainConfig& config,
           const runtime::VariableStore& store, const kernels::KernelTable& table,
           ThreadPool& pool);

  // The prompt and what follows it; a pure function of the weights, the seed and the step.
  std::string run(int64_t step);

  // Beside the trainer's Variables: the arena and the key-value cache.
  int64_t planned_bytes() const;

 private:
  const text::Tokenizer& tokenizer_;
  std::string text_;  // of the prompt
  std::vector<int32_t> prompt_;
  generate::GenerateOptions options_;
  uint64_t seed_;
  std::unique_ptr<generate::ModelRunner> runner_;
  std::unique_ptr<generate::Generator> generator_;
};

}  // namespace ashlar::train
