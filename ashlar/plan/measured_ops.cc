#include "ashlar/plan/measured_ops.h"

#include "ashlar/base/cpu.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/plan/operands.h"

#include <fmt/format.h>

#include <algorithm>
#include <span>
#include <vector>

namespace ashlar::plan {
namespace {

using graph::Bindings;
using graph::Operand;
using graph::Symbol;

// What is more than that runs on fewer tokens, while kernels have enough of them to be at speed.
constexpr double kManyFlops = 2e10;
constexpr int64_t kManyBytes = int64_t{128} << 20;
constexpr int64_t kFewTokens = 256;
// More than that is not run at all. Bytes: of all ranks that run at once.
constexpr double kMostFlops = 2e11;
constexpr int64_t kMostBytes = int64_t{1} << 30;
// Memory through which operands move, so that no more of them is in caches than is in a step.
constexpr int64_t kLeastWindow = 1 << 20, kMostWindow = int64_t{384} << 20;
constexpr double kTime = 0.01;  // seconds for runs behind the first
constexpr double kLong = 0.3;   // an op that is not run twice
constexpr int kMostRuns = 8;

struct Bound {
  std::vector<int32_t> rows;
  std::vector<Operand> inputs, outputs;
  graph::Cost cost;
  int64_t bytes = 0;

  Bound(const TimedOp& op, const Bindings& bindings) : rows(even_rows(bindings)) {
    const BoundOperands bound(op.graph, bindings, rows);
    inputs = bound.of(op.node.inputs);
    outputs = bound.of(op.node.outputs);
    cost = op.node.op->cost(inputs, outputs);
    for (const auto* operands : {&inputs, &outputs}) {
      for (const Operand& operand : *operands) {
        if (operand.present) bytes += bytes_of(operand.dtype, operand.shape.elements());
      }
    }
  }
};

// Ops of one key take the same time.
std::string key_of(const TimedOp& op, const Bound& bound) {
  std::string key = fmt::format("{} {}{}", op.node.op->kind(), op.node.op->attributes(),
                                op.step.accumulates ? " accumulates" : "");
  for (const auto* operands : {&bound.inputs, &bound.outputs}) {
    for (const Operand& operand : *operands) {
      key +=
          operand.present ? fmt::format(" {}{}", name(operand.dtype), operand.shape.str()) : " -";
    }
  }
  return key;
}

Bindings halved(const Bindings& bindings) {
  Bindings result = bindings;
  for (int64_t& value : result.values) value = value > 1 ? value / 2 : value;
  return result;
}

}  // namespace

MeasuredOps::MeasuredOps(int ranks, int threads, const kernels::KernelTable& table,
                         const Clock& clock)
    : table_(table), clock_(clock) {
  const int fit = std::max(1, cpu_info().logical_cores / threads);
  for (int i = 0; i < std::min(ranks, fit); ++i) ranks_.emplace_back(threads);
}

std::optional<double> MeasuredOps::seconds(const TimedOp& op) {
  if (!can_probe(op)) return std::nullopt;
  const auto [known, is_new] = known_.try_emplace(key_of(op, Bound(op, op.bindings)));
  if (is_new) known->second = measure(op);
  return known->second;
}

std::optional<double> MeasuredOps::measure(const TimedOp& op) {
  const Bound whole(op, op.bindings);
  Bindings bindings = op.bindings;
  const auto takes_long = [&] {
    const Bound now(op, bindings);
    return now.cost.flops > kManyFlops || now.bytes > kManyBytes;
  };
  while (takes_long() && bindings[Symbol::kTokens] > kFewTokens) bindings = halved(bindings);
  const Bound small(op, bindings);
  if (small.cost.flops > kMostFlops || small.bytes > kMostBytes / std::ssize(ranks_)) {
    return std::nullopt;
  }
  const double seconds = best_of_runs(op, bindings);
  const graph::Cost ran = ranks_[0].cost(op.node);
  if (whole.cost.flops > 0) return seconds * whole.cost.flops / ran.flops;
  return whole.cost.bytes > 0 ? seconds * whole.cost.bytes / ran.bytes : seconds;
}

// The slowest rank's best time: a neighbour's burst is no part of the op.
double MeasuredOps::best_of_runs(const TimedOp& op, const Bindings& bindings) {
  const int64_t window = std::clamp(op.step.bytes, kLeastWindow, kMostWindow / std::ssize(ranks_));
  std::vector<double> best(ranks_.size(), 1e300);
  const auto runs_of = [&](size_t index, comm::Communicator* all) {
    ProbeRank& rank = ranks_[index];
    const auto once = [&] {
      rank.prepare(op, bindings, table_, window);
      if (all != nullptr) all->barrier(all->world(), "probe");
      const double start = clock_.now();
      rank.run(op, bindings, table_);
      const double took = clock_.now() - start;
      best[index] = std::min(best[index], took);
      rank.tidy();
      return took;
    };
    double first = once();
    if (all != nullptr) {  // all run equally often
      all->all_reduce(all->world(), comm::Reduce::kMax, comm::buffer(std::span(&first, 1)),
                      "probe");
    }
    const int fit = static_cast<int>(std::min(kTime / std::max(first, 1e-9), 1e3));
    const int more = first > kLong ? 0 : std::clamp(fit, 1, kMostRuns);
    for (int i = 0; i < more; ++i) once();
  };
  if (ranks_.size() == 1) {
    runs_of(0, nullptr);
  } else {
    comm::run_ranks(ranks_at_once(), [&](comm::Communicator& comm) {
      runs_of(static_cast<size_t>(comm.rank()), &comm);
    });
  }
  return std::max(*std::ranges::max_element(best), 1e-9);
}

}  // namespace ashlar::plan
