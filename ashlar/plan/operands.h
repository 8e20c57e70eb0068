// The operands of a graph's nodes before anything runs: shapes bound, and no data but that of
// row_start, into which attention looks to count the pairs it sees.
#pragma once

#include "ashlar/graph/graph.h"

#include <span>
#include <vector>

namespace ashlar::plan {

class BoundOperands {
 public:
  // All three outlive this.
  BoundOperands(const graph::Graph& graph, const graph::Bindings& bindings,
                std::span<const int32_t> row_start);

  std::vector<graph::Operand> of(const std::vector<graph::ValueId>& ids) const;

 private:
  const graph::Graph& graph_;
  const graph::Bindings& bindings_;
  std::span<const int32_t> row_start_;
  graph::ValueId rows_;  // the input row_start; invalid where there is none
};

}  // namespace ashlar::plan
