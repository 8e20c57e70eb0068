// A rank's Variables, cut by hand: what the passes that spread a model leave of a graph's list.
#pragma once

#include "ashlar/graph/graph.h"
#include "ashlar/mesh/placement.h"

#include <functional>
#include <optional>

namespace ashlar::testing {

// How a Variable lies on the mesh; nothing: this rank has none of it.
using Lie = std::function<std::optional<Placement>(const graph::Variable&)>;

// The Variables of `graph` alone, as parts of rank `rank`.
graph::Graph cut_variables(const graph::Graph& graph, const Mesh& mesh, int rank, const Lie& lie);

}  // namespace ashlar::testing
