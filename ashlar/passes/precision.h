// Compute in bf16 with f32 accumulation (Kalamkar et al. 2019): matrices are read through bf16
// shadows that the update rewrites, activations are bf16 from the embedding on; master weights,
// norms' parameters, statistics, losses and gradients of parameters stay f32.
#pragma once

#include "ashlar/graph/graph.h"

namespace ashlar::passes {

// compute: kF32 (returns the graph as it is) or kBF16. Runs after differentiate and the update
// rule.
graph::Graph precision(const graph::Graph& graph, DType compute);

}  // namespace ashlar::passes
