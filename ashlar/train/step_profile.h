// Steps in which every op is timed: those that run.profile asks for, as a trace for Perfetto, and
// one in every run for the report's timeline.
#pragma once

#include "ashlar/base/clock.h"
#include "ashlar/runtime/profiler.h"
#include "ashlar/schedule/schedule.h"
#include "ashlar/train/config.h"
#include "ashlar/train/optimizer_step.h"

#include <cstdint>
#include <optional>
#include <string>

namespace ashlar::train {

class StepProfile {
 public:
  // All outlive this. The trace of rank r > 0 goes beside that of the first, as FILE.rank-r.
  StepProfile(const TrainConfig& config, int64_t first_step, const Clock& clock, const Ranks& ranks,
              OptimizerStep& step);

  bool takes(int64_t step) const;
  void begin(int64_t step);
  // The timeline where this was the step of it, gathered from all ranks, who call this together.
  // list: what this rank ran.
  std::optional<std::string> end(int64_t step, const schedule::InstructionList& list);
  void finish();  // the trace of a run that ended before its time

 private:
  void write_trace();

  const TrainConfig& config_;
  const Clock& clock_;
  const Ranks& ranks_;
  OptimizerStep& step_;
  int64_t timeline_step_, trace_begin_, trace_end_;
  std::optional<runtime::Profiler> trace_, timeline_;
};

}  // namespace ashlar::train
