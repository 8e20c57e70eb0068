#include "ashlar/train/optimizer_step.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <string>

namespace ashlar::train {

void StepScalars::set(const data::StepBatch& batch, const LossScale& scale, double rate) {
  gradient_scale = static_cast<float>(scale.scale());
  loss_scale = gradient_scale / static_cast<float>(std::max<int64_t>(batch.valid_tokens, 1));
  aux_scale = gradient_scale / static_cast<float>(batch.microbatches.size());
  lr = static_cast<float>(rate);
}

graph::RunState run_state(uint64_t seed, int64_t step, const LossScale& scale) {
  return {.seed = seed,
          .step = static_cast<uint64_t>(step),
          .skipped = static_cast<uint64_t>(scale.state().skipped)};
}

void fail_not_finite(uint64_t step, const char* what, const Ranks* ranks,
                     const std::function<void()>& look) {
  const std::string fix =
      "lower train.lr or lengthen train.warmup; every checkpoint is from before it";
  try {
    look();
  } catch (const Error& error) {
    fail("training: step {}: the {} is not finite: {}; {}", step, what, error.what(), fix);
  }
  // Another rank may have found it, and is then heard first.
  if (ranks != nullptr && ranks->comm() != nullptr) {
    ranks->comm()->barrier(ranks->comm()->world(), "looking for what is not finite");
  }
  // Every value is finite, yet their squares do not add up to a number.
  fail("training: step {}: the {} is not finite, though every op's result is; {}", step, what, fix);
}

}  // namespace ashlar::train
