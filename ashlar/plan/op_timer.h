// What one op of a graph takes on a machine.
#pragma once

#include "ashlar/graph/graph.h"

#include <cstdint>
#include <optional>

namespace ashlar::plan {

// The step that an op is a part of.
struct StepAround {
  int64_t bytes = 0;         // of memory that it touches
  int64_t vocab = 1;         // token ids are below
  bool accumulates = false;  // of several microbatches, whose gradients are added up
};

struct TimedOp {
  const graph::Graph& graph;
  const graph::Node& node;
  const graph::Bindings& bindings;
  const StepAround& step;
};

class OpTimer {
 public:
  virtual ~OpTimer() = default;
  // Seconds of one run, messages left out, on a rank that has its cores to itself while other cores
  // are as busy. None where only the run can tell.
  virtual std::optional<double> seconds(const TimedOp& op) = 0;
  virtual int distinct_ops() const = 0;  // that it was asked for
};

}  // namespace ashlar::plan
