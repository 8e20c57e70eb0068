#include "ashlar/train/learning_rate.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ashlar::train {

LearningRate LearningRate::of(const TrainSection& config) {
  return {.peak = config.lr,
          .schedule = config.schedule,
          .steps = config.steps,
          .warmup = config.warmup,
          .cooldown = config.cooldown >= 0 ? config.cooldown : config.steps / 5,
          .min_ratio = config.min_lr};
}

double LearningRate::at(int64_t step) const {
  if (step <= warmup) return peak * static_cast<double>(step) / static_cast<double>(warmup);
  // How far the decay is: 0 at the last step before it, 1 at the end.
  const int64_t begin = schedule == Schedule::kWsd ? std::max(warmup, steps - cooldown) : warmup;
  const double length = static_cast<double>(std::max<int64_t>(steps - begin, 1));
  const double done = std::clamp(static_cast<double>(step - begin) / length, 0.0, 1.0);
  double share = 1;  // of what lies between the lowest rate and the peak
  switch (schedule) {
    case Schedule::kConstant:
      break;
    case Schedule::kLinear:
    case Schedule::kWsd:
      share = 1 - done;
      break;
    case Schedule::kCosine:
      share = 0.5 * (1 + std::cos(std::numbers::pi * done));
      break;
  }
  return peak * (min_ratio + (1 - min_ratio) * share);
}

}  // namespace ashlar::train
