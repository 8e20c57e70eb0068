// A rank that runs single ops for MeasuredOps: its threads, and memory that operands move through.
#pragma once

#include "ashlar/base/thread_pool.h"
#include "ashlar/kernels/table.h"
#include "ashlar/plan/op_timer.h"
#include "ashlar/runtime/arena.h"

#include <deque>
#include <optional>
#include <string>
#include <vector>

namespace ashlar::plan {

// Whether operands can be made for it: floats are what they are, integers those of a batch, or how
// many rows each expert has. An op that hands blocks round between messages cannot.
bool can_probe(const TimedOp& op);

// Where each sequence begins, all of one length, and the last ends.
std::vector<int32_t> even_rows(const graph::Bindings& bindings);

class ProbeRank {
 public:
  explicit ProbeRank(int threads) : pool_(threads) {}

  // Everything but the run itself. Operands lie where none has lain for `window` bytes.
  void prepare(const TimedOp& op, const graph::Bindings& bindings,
               const kernels::KernelTable& table, int64_t window);
  void run(const TimedOp& op, const graph::Bindings& bindings, const kernels::KernelTable& table);
  // What was written is made harmless: no number grows from run to run.
  void tidy();
  graph::Cost cost(const graph::Node& node) const { return node.op->cost(inputs_, outputs_); }

 private:
  void reserve(int64_t bytes);
  std::byte* take(const graph::Operand& operand);
  void place_integers(const TimedOp& op, size_t i, const std::vector<int32_t>& rows);

  ThreadPool pool_;
  std::optional<runtime::Arena> memory_, scratch_;
  int64_t at_ = 0;
  std::deque<std::vector<int32_t>> integers_;
  std::vector<graph::Operand> inputs_, outputs_;
};

}  // namespace ashlar::plan
