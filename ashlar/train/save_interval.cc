#include "ashlar/train/save_interval.h"

#include "ashlar/train/config.h"

#include <algorithm>
#include <cmath>
#include <utility>

namespace ashlar::train {
namespace {

constexpr int64_t kWarmUp = 2;  // steps, until memory has been touched
constexpr int64_t kTimed = 10;  // steps, of which the median counts
constexpr int kProbes = 2;      // saves; the first one also allocates its memory

double median(std::vector<double> values) {
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

}  // namespace

SaveInterval::SaveInterval(int64_t every, int64_t first_step)
    : automatic_(every == CheckpointSection::kAuto), every_(every), last_(first_step - 1) {}

bool SaveInterval::due(int64_t step) {
  if (!automatic_) return every_ > 0 && step % every_ == 0;
  const bool save = decision_ ? step - last_ >= decision_->every : probe_due_;
  if (!save) return false;
  last_ = step;
  if (std::exchange(probe_due_, false)) {
    probing_ = true;
    measured_ = {.step_s = measured_.step_s};
    written_in_ = 0;
  }
  return true;
}

void SaveInterval::observe(const Seen& seen) {
  if (!tuning()) return;
  if (probing_) {
    measured_.stall_s += seen.stall_s;
    ++written_in_;
    measured_.slowed_s += seen.step_s - measured_.step_s;
    measured_.write_s += seen.step_s;
    if (!seen.writing) finish_probe();
    return;
  }
  if (++observed_ <= kWarmUp) return;
  steps_.push_back(seen.step_s);
  if (observed_ < kWarmUp + kTimed) return;
  measured_.step_s = median(steps_);
  probe_due_ = true;
}

void SaveInterval::finish_probe() {
  probing_ = false;
  if (++probes_ < kProbes) {
    probe_due_ = true;
    return;
  }
  // Some steps were by chance quicker.
  measured_.slowed_s = std::max(measured_.slowed_s, 0.0);
  const double cost = measured_.stall_s + measured_.slowed_s;
  const double steps = std::ceil(cost / kOverhead / measured_.step_s);
  // A save must also have been written when the next one is due.
  measured_.every = std::max(written_in_, static_cast<int64_t>(steps));
  decision_ = measured_;
}

}  // namespace ashlar::train
