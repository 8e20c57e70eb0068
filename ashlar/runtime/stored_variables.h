// Which Variables need storage for a graph to run.
#pragma once

#include "ashlar/graph/graph.h"

#include <vector>

namespace ashlar::runtime {

// Those it reads, and the sources of shadows it reads.
std::vector<graph::VariableId> stored_variables(const graph::Graph& graph);
// Those that its update writes, in the order of their names.
std::vector<graph::VariableId> updated_variables(const graph::Graph& graph);

}  // namespace ashlar::runtime
