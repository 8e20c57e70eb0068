// Products that the merging passes take: of f32 by a packed weight in blocks of few bits.
#pragma once

#include "ashlar/graph/graph.h"
#include "ashlar/graph/ops/linear.h"

namespace ashlar::passes {

// The op of such a product without adapter and activation; null for every other node.
const graph::LinearOp* block_product(const graph::Graph& graph, const graph::Node& node);

}  // namespace ashlar::passes
