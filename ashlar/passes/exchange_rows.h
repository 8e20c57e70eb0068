// Where ranks hold some experts each: writes the ops that send rows to the ranks of their experts
// in front of the experts' products, and those that send them back behind (forward and backward
// alike). On one rank they change nothing, so the graph computes what it did.
#pragma once

#include "ashlar/graph/graph.h"

namespace ashlar::passes {

// Behind differentiate; a part of shard().
graph::Graph exchange_rows(const graph::Graph& graph);

}  // namespace ashlar::passes
