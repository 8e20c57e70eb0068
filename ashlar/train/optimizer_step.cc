#include "ashlar/train/optimizer_step.h"

#include "ashlar/base/error.h"

#include <string>

namespace ashlar::train {

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
