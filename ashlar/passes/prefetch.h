// ZeRO-3's gathers ahead of use: while one layer computes, the parameters of the next are gathered
// (Zhao et al., FSDP, VLDB 2023), and of no more than that one, so that at most two layers'
// gathered parameters are there at once.
#pragma once

#include "ashlar/graph/graph.h"

namespace ashlar::passes {

// Behind fuse, before plan_memory. A graph without gathers of Variables stays as it is.
graph::Graph prefetch_parameters(const graph::Graph& graph);

}  // namespace ashlar::passes
