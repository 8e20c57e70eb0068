// The `train` section of a model's golden.json: loss and gradient norm of each parameter of one
// batch, then five AdamW steps on it, as another implementation had them.
#pragma once

#include "ashlar/base/cpu.h"
#include "ashlar/base/thread_pool.h"

#include <optional>
#include <string>
#include <vector>

namespace ashlar::train {

struct GoldenCheck {
  std::string name;  // "cross_entropy", "grad_norm lm_head.weight", "adamw step 3 loss"
  double found = 0, wanted = 0;
  double allowed = 0;  // |found - wanted| at most
  bool passed() const;
};

struct GoldenTrain {
  std::vector<GoldenCheck> checks;
  bool passed() const;
  const GoldenCheck* worst() const;  // by share of what is allowed; null when there are none
};

// model: a folder with config.json, weights and golden.json. nullopt: no such section.
std::optional<GoldenTrain> check_golden_train(const std::string& model, ThreadPool& pool,
                                              IsaTier tier);

}  // namespace ashlar::train
