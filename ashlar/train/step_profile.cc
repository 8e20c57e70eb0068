#include "ashlar/train/step_profile.h"

#include "ashlar/base/log.h"
#include "ashlar/train/step_timeline.h"

#include <fmt/format.h>

#include <algorithm>

namespace ashlar::train {

// Both begin behind the first steps, when memory has been touched and caches are as they stay.
StepProfile::StepProfile(const TrainConfig& config, int64_t first_step, const Clock& clock,
                         const Ranks& ranks, OptimizerStep& step)
    : config_(config),
      clock_(clock),
      ranks_(ranks),
      step_(step),
      timeline_step_(first_step + 1),
      trace_begin_(std::max(
          first_step, std::min(first_step + 2, config.train.steps - config.run.profile_steps + 1))),
      trace_end_(std::min(trace_begin_ + config.run.profile_steps - 1, config.train.steps)) {}

bool StepProfile::takes(int64_t step) const {
  const bool traced = !config_.run.profile.empty() && step >= trace_begin_ && step <= trace_end_;
  return traced || step == timeline_step_;
}

void StepProfile::begin(int64_t step) {
  if (!config_.run.profile.empty() && step == trace_begin_) {
    trace_.emplace(clock_);
    step_.set_profiler(&*trace_);
  } else if (step == timeline_step_ && !trace_) {
    timeline_.emplace(clock_);
    step_.set_profiler(&*timeline_);
  }
}

std::optional<std::string> StepProfile::end(int64_t step, const schedule::InstructionList& list) {
  if (trace_ && step == trace_end_) write_trace();
  if (!timeline_) return std::nullopt;
  step_.set_profiler(nullptr);
  const MeasuredRank rank = measured_rank(timeline_->records(), step_.graphs(), list);
  timeline_.reset();
  return gather_timeline(rank, step, ranks_);
}

void StepProfile::finish() {
  if (trace_) write_trace();
}

void StepProfile::write_trace() {
  step_.set_profiler(nullptr);
  const std::string path = ranks_.first()
                               ? config_.run.profile
                               : fmt::format("{}.rank-{}", config_.run.profile, ranks_.rank());
  trace_->write_trace(path);
  trace_.reset();
  log::info("event=profile file={}", path);
}

}  // namespace ashlar::train
