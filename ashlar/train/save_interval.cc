#include "ashlar/train/save_interval.h"

#include "ashlar/train/config.h"

#include <algorithm>
#include <cmath>
#include <utility>
#include <vector>

namespace ashlar::train {
namespace {

constexpr int64_t kWarmUp = 2;  // steps, until memory has been touched
constexpr int64_t kTimed = 10;  // steps before the first save
constexpr size_t kSteps = 32;   // of which the median counts
constexpr int64_t kProbes = 2;  // saves before a decision; the first also allocates its memory
constexpr size_t kSaves = 8;    // of which the mean counts

template <typename T>
void push_bounded(std::deque<T>& last, T value, size_t most) {
  last.push_back(std::move(value));
  if (last.size() > most) last.pop_front();
}

}  // namespace

SaveInterval::SaveInterval(int64_t every, int64_t first_step)
    : automatic_(every == CheckpointSection::kAuto), every_(every), last_(first_step - 1) {}

double SaveInterval::step_s() const {
  std::vector<double> values(plain_.begin(), plain_.end());
  const auto middle = values.begin() + static_cast<std::ptrdiff_t>(values.size() / 2);
  std::ranges::nth_element(values, middle);
  return *middle;
}

bool SaveInterval::due(int64_t step) {
  if (!automatic_) return every_ > 0 && step % every_ == 0;
  if (under_way_ || observed_ < kWarmUp + kTimed) return false;
  if (decision_ && (step - last_ < decision_->every || !affordable())) return false;
  last_ = step;
  under_way_.emplace();
  return true;
}

// One more save, counted against all steps so far.
bool SaveInterval::affordable() const {
  const double cost = decision_->stall_s + decision_->slowed_s;
  return spent_s_ + cost <= kOverhead * static_cast<double>(observed_) * decision_->step_s;
}

void SaveInterval::observe(const Seen& seen) {
  if (!automatic_) return;
  ++observed_;
  if (!under_way_) {
    if (observed_ > kWarmUp) push_bounded(plain_, seen.step_s, kSteps);
    return;
  }
  under_way_->stall_s += seen.stall_s;
  under_way_->slowed_s += seen.step_s - step_s();
  under_way_->write_s += seen.step_s;
  ++under_way_->steps;
  if (!seen.writing) finish_save();
}

void SaveInterval::finish_save() {
  SaveCost save = *std::exchange(under_way_, std::nullopt);
  save.slowed_s = std::max(save.slowed_s, 0.0);  // some steps were by chance quicker
  spent_s_ += save.stall_s + save.slowed_s;
  if (++finished_ == kProbes) saves_.clear();
  push_bounded(saves_, save, kSaves);
  if (finished_ >= kProbes) decide();
}

void SaveInterval::decide() {
  Decision decision{.step_s = step_s()};
  int64_t steps = 0;
  for (const SaveCost& save : saves_) {
    decision.stall_s += save.stall_s;
    decision.slowed_s += save.slowed_s;
    decision.write_s += save.write_s;
    steps = std::max(steps, save.steps);
  }
  const auto count = static_cast<double>(saves_.size());
  for (double* sum : {&decision.stall_s, &decision.slowed_s, &decision.write_s}) *sum /= count;
  const double cost = decision.stall_s + decision.slowed_s;
  // A save must also have been written when the next one is due.
  decision.every =
      std::max(steps, static_cast<int64_t>(std::ceil(cost / kOverhead / decision.step_s)));
  decision_ = decision;
}

}  // namespace ashlar::train
