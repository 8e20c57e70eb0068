// When to save: every N steps as the configuration says, or as often as the overhead allows
// (CheckFreq, Mohan et al., FAST 2021). "auto" times some steps, then two saves: how long training
// stood still, and how much slower steps were while the save was written. That decides the
// interval. Every later save is measured too, since two tell little on a busy machine: the interval
// follows the mean of the last saves, and none is begun that would take the whole run's cost, that
// of the first two included, beyond what is allowed. A state machine without clocks: what it is
// told, it decides; on all ranks alike.
#pragma once

#include <cstdint>
#include <deque>
#include <optional>

namespace ashlar::train {

// What one save has cost.
struct SaveCost {
  double stall_s = 0, slowed_s = 0, write_s = 0;
  int64_t steps = 0;  // while it was written
};

class SaveInterval {
 public:
  static constexpr double kOverhead = 0.035;  // of the time of training

  // every: steps, 0 for never, CheckpointSection::kAuto.
  SaveInterval(int64_t every, int64_t first_step);

  // Whether to save behind `step`; to be asked once for every step.
  bool due(int64_t step);

  struct Seen {
    double step_s = 0;     // the step alone, without validation or saving
    double stall_s = 0;    // of the save behind the step before, if there was one
    bool writing = false;  // that save was still being written when the step ended
  };
  // To be told of every step, before due(). Only an automatic interval listens.
  void observe(const Seen& seen);

  // A save is slowed_s beyond what its steps take without it; times are means of the last saves.
  struct Decision {
    int64_t every = 1;
    double step_s = 0, stall_s = 0, slowed_s = 0, write_s = 0;
    double overhead() const { return (stall_s + slowed_s) / (static_cast<double>(every) * step_s); }
  };
  // None before the two saves are measured.
  const std::optional<Decision>& decision() const { return decision_; }

 private:
  double step_s() const;  // without saves
  bool affordable() const;
  void finish_save();
  void decide();

  bool automatic_;
  int64_t every_, last_;      // last: behind which step was saved
  int64_t observed_ = 0;      // steps
  std::deque<double> plain_;  // seconds of the last steps without a save
  std::optional<SaveCost> under_way_;
  std::deque<SaveCost> saves_;  // the last ones, finished
  int64_t finished_ = 0;        // of all
  double spent_s_ = 0;          // that all saves have cost
  std::optional<Decision> decision_;
};

}  // namespace ashlar::train
