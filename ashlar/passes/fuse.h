// Merges neighbours where that saves a trip to memory, keeping every value: a sum into the linear
// or norm gradient that makes one of its terms, an activation into its linear (inference), the loss
// with its two gradients (logits once instead of three times), a bf16 shadow into the AdamW that
// feeds it.
#pragma once

#include "ashlar/graph/graph.h"

namespace ashlar::passes {

graph::Graph fuse(const graph::Graph& graph);

}  // namespace ashlar::passes
