// When to save: every N steps as the configuration says, or as often as the overhead allows
// (CheckFreq, Mohan et al., FAST 2021). "auto" times some steps, then two saves: how long training
// stood still, and how much slower steps were while the save was written. From then on the interval
// is fixed. A state machine without clocks: what it is told, it decides; on all ranks alike.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

namespace ashlar::train {

class SaveInterval {
 public:
  static constexpr double kOverhead = 0.035;  // of the time of training

  // every: steps, 0 for never, CheckpointSection::kAuto.
  SaveInterval(int64_t every, int64_t first_step);

  // Whether to save behind `step`; to be asked once for every step.
  bool due(int64_t step);

  // Until an automatic interval is decided, to be told of every step, before due().
  bool tuning() const { return automatic_ && !decision_; }
  struct Seen {
    double step_s = 0;     // the step alone, without validation or saving
    double stall_s = 0;    // of the save behind the step before, if there was one
    bool writing = false;  // that save was still being written when the step ended
  };
  void observe(const Seen& seen);

  struct Decision {
    int64_t every = 1;
    double step_s = 0, stall_s = 0, slowed_s = 0, write_s = 0;
    double overhead() const { return (stall_s + slowed_s) / (static_cast<double>(every) * step_s); }
  };
  const std::optional<Decision>& decision() const { return decision_; }

 private:
  void finish_probe();

  bool automatic_;
  int64_t every_, last_;  // last: behind which step was saved
  std::vector<double> steps_;
  int64_t observed_ = 0;
  int64_t written_in_ = 0;  // steps that a probe has been under way
  int probes_ = 0;          // finished
  bool probing_ = false, probe_due_ = false;
  Decision measured_;
  std::optional<Decision> decision_;
};

}  // namespace ashlar::train
