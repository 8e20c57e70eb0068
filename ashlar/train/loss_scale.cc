#include "ashlar/train/loss_scale.h"

namespace ashlar::train {
namespace {

// Below 1 scaling would be for gradients too large rather than too small; above 2^32 none of f16's
// numbers is left to vanish, and the loss in f32 stays far from its end.
constexpr double kLowest = 1, kHighest = 0x1p32;

}  // namespace

void LossScale::good_step() {
  if (growth_ == 0 || ++state_.good_steps < growth_) return;
  state_.good_steps = 0;
  if (state_.scale * 2 <= kHighest) state_.scale *= 2;
}

bool LossScale::overflow() {
  state_.good_steps = 0;
  if (state_.scale / 2 < kLowest) return false;
  state_.scale /= 2;
  ++state_.skipped;
  return true;
}

}  // namespace ashlar::train
