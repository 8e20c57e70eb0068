// What messages add to the time of a rank that goes on computing while they pass, as the executor
// lets them: an op that goes on is waited for by the first that reads its result, and the sums of
// gradients start beside backward, each as soon as what it reads is there.
#pragma once

#include "ashlar/graph/graph.h"
#include "ashlar/plan/graph_cost.h"

#include <span>

namespace ashlar::plan {

// Seconds from the first node of the phases to the end of the last message. costs: of each node.
// Messages that go on pass one after another.
double overlapped_seconds(const graph::Graph& graph, std::span<const PhaseCost> costs,
                          std::span<const graph::Phase> phases, bool with_sums = false);

}  // namespace ashlar::plan
