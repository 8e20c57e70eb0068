// Learning-rate schedules: pure functions of the step (from 1 to steps).
//   warm-up: lr * step / warmup for the first `warmup` steps; then
//   constant: lr;
//   linear, cosine: from lr down to min_ratio * lr at the last step;
//   wsd (warmup-stable-decay, Hu et al. 2024): lr, then linearly down over the last `cooldown`.
#pragma once

#include "ashlar/train/config.h"

namespace ashlar::train {

struct LearningRate {
  double peak = 3e-4;
  Schedule schedule = Schedule::kCosine;
  int64_t steps = 1000, warmup = 0, cooldown = 200;
  double min_ratio = 0.1;

  static LearningRate of(const TrainSection& config);
  double at(int64_t step) const;
};

}  // namespace ashlar::train
