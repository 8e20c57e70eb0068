#include "ashlar/train/job_step.h"

#include <algorithm>

namespace ashlar::train {
namespace {

enum Column { kFlops, kPeak, kSeconds, kStop, kStall, kWriting, kColumns };

}  // namespace

std::map<std::string, comm::Traffic> JobStep::by_axis() const {
  std::map<std::string, comm::Traffic> result;
  if (ranks_.comm() == nullptr) return result;
  for (const MeshAxis& axis : ranks_.mesh().axes()) {
    if (axis.size > 1) result[axis.name] = {};
  }
  for (const auto& [key, traffic] : ranks_.comm()->counters().entries()) {
    // A group over several axes counts to the slowest: "data+context" to data.
    const auto axis = result.find(key.first.substr(0, key.first.find('+')));
    if (axis != result.end()) axis->second += traffic;
  }
  return result;
}

JobStep::Answer JobStep::finish(const Mine& mine, StepMetrics& metrics, int64_t tokens) {
  std::vector<double> row = {mine.flops,   mine.peak_flops,
                             mine.seconds, mine.stop ? 1.0 : 0.0,
                             mine.stall_s, mine.writing ? 1.0 : 0.0};
  const std::map<std::string, comm::Traffic> now = by_axis();
  double waited = 0;
  for (const auto& [axis, traffic] : now) {
    row.push_back(traffic.seconds_waited - before_[axis].seconds_waited);
    waited += row.back();
  }
  row.push_back(mine.seconds - waited);  // computing
  for (const auto& [axis, traffic] : now) {
    row.push_back(static_cast<double>(traffic.bytes - before_[axis].bytes));
  }

  const std::vector<double> all = ranks_.gather(row);
  const size_t ranks = all.size() / row.size();
  const auto column = [&](size_t i, size_t rank) { return all[rank * row.size() + i]; };
  const auto sum = [&](size_t i) {
    double total = 0;
    for (size_t rank = 0; rank < ranks; ++rank) total += column(i, rank);
    return total;
  };
  const auto most = [&](size_t i) {
    double value = 0;
    for (size_t rank = 0; rank < ranks; ++rank) value = std::max(value, column(i, rank));
    return value;
  };
  const double longest = most(kSeconds);
  metrics.tokens_per_s = static_cast<double>(tokens) / longest;
  metrics.mfu = sum(kFlops) / longest / sum(kPeak);
  metrics.step_ms = longest * 1e3;
  if (ranks > 1) {
    size_t i = kColumns;
    for (const auto& [axis, traffic] : now) {
      metrics.comm_share[axis] = sum(i++) / static_cast<double>(ranks) / longest;
    }
    size_t slowest = 0;
    for (size_t rank = 1; rank < ranks; ++rank) {
      if (column(i, rank) > column(i, slowest)) slowest = rank;
    }
    metrics.slowest_rank = static_cast<int>(slowest);
    for (const auto& [axis, traffic] : now) {
      metrics.comm_bytes[axis] = static_cast<int64_t>(sum(++i));
    }
  }
  return {.stop = most(kStop) > 0, .stall_s = most(kStall), .writing = most(kWriting) > 0};
}

}  // namespace ashlar::train
