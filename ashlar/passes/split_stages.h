// Cuts the training graph of one rank into a graph for each stage of a pipeline. A value that
// crosses a border leaves in a message with F (activations) or B (gradients) and reaches the
// neighbouring stage; one that is needed farther away is relayed. Each stage updates what it holds;
// they agree on the gradient norm by adding their "squares.part". The pass knows no schedule and no
// rank: any placement of the stages runs them (runtime/pipeline.h).
#pragma once

#include "ashlar/graph/stage.h"

namespace ashlar::passes {

// Runs behind shard, before fuse; recompute may come before it or run on each stage. A parameter
// that several stages read (a tied embedding) is a copy on each: StageGradient says whose gradients
// must be added. alike: of each value, what ShardedGraph has; empty: none. Throws when there are
// fewer layers than stages.
std::vector<graph::Stage> split_stages(const graph::Graph& graph, int stages,
                                       const std::vector<bool>& alike = {});

}  // namespace ashlar::passes
