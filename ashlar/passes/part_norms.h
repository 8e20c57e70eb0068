// RMS norms over columns that tensor ranks share (OLMo 2's of queries and keys) become two steps
// (graph/ops/norm_sums.h), between which sharding sums: one number a row, forward and backward.
#pragma once

#include "ashlar/passes/shard.h"

namespace ashlar::passes {

// Norms whose weight the plan splits along `tensor`; others stay as they are.
graph::Graph part_norms(const graph::Graph& graph, const ShardPlan& plan);

}  // namespace ashlar::passes
