// When the sums of gradients over ranks leave: as soon as backward has made what they read, while
// it goes on. The executor keeps to this, and so does who foretells how much of them it hides.
#pragma once

#include "ashlar/graph/program.h"

#include <vector>

namespace ashlar::runtime {

// For each step of `sums` (Program "reduce"): behind how many steps of `program` it starts. In
// order, the same on every rank. Sums of sums come behind all of them.
std::vector<int> start_points(const graph::Graph& graph, const graph::Program& program,
                              const graph::Program& sums);

}  // namespace ashlar::runtime
