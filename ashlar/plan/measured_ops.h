// Times ops by running them: the kernel of each distinct op a few times on operands of its own
// shapes, by as many ranks at once as the machine has cores for. An op that takes long runs on
// fewer tokens, and counts by its FLOPs or bytes.
#pragma once

#include "ashlar/base/clock.h"
#include "ashlar/kernels/table.h"
#include "ashlar/plan/op_timer.h"
#include "ashlar/plan/probe_rank.h"

#include <deque>
#include <map>
#include <optional>
#include <string>

namespace ashlar::plan {

class MeasuredOps final : public OpTimer {
 public:
  // Of `ranks` on this machine with that many threads each. The table and clock outlive this.
  MeasuredOps(int ranks, int threads, const kernels::KernelTable& table, const Clock& clock);

  // None where can_probe() says so, and for what takes more time or memory than a probe may.
  std::optional<double> seconds(const TimedOp& op) override;

  int distinct_ops() const override { return static_cast<int>(known_.size()); }
  int ranks_at_once() const { return static_cast<int>(ranks_.size()); }

 private:
  std::optional<double> measure(const TimedOp& op);
  double best_of_runs(const TimedOp& op, const graph::Bindings& bindings);

  const kernels::KernelTable& table_;
  const Clock& clock_;
  std::deque<ProbeRank> ranks_;
  std::map<std::string, std::optional<double>> known_;
};

}  // namespace ashlar::plan
