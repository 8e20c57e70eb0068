// Dynamic loss scaling (Micikevicius et al. 2018): gradients in f16 vanish below 2^-25, so the loss
// is multiplied by a power of two before the backward and the gradients divided by it behind. A
// step whose gradients overflow is skipped and the scale halved; after a number of good ones it
// doubles.
#pragma once

#include <cstdint>

namespace ashlar::train {

class LossScale {
 public:
  struct State {
    double scale = 65536;
    int64_t good_steps = 0;  // in a row, since the scale last changed
    int64_t skipped = 0;     // steps, of all
    bool operator==(const State&) const = default;
  };

  LossScale() : LossScale(1, 0) {}  // none
  // `growth`: good steps until it doubles; 0: never.
  LossScale(double start, int64_t growth) : state_{start, 0, 0}, growth_(growth) {}

  double scale() const { return state_.scale; }
  const State& state() const { return state_; }
  void restore(const State& state) { state_ = state; }

  // After a step whose gradients were finite, and after one whose were not; false: the scale is as
  // low as it goes, and something else is wrong.
  void good_step();
  bool overflow();

 private:
  State state_;
  int64_t growth_;
};

}  // namespace ashlar::train
