// Compute in 16 bits with f32 accumulation (bf16: Kalamkar et al. 2019; f16: Micikevicius et al.
// 2018): matrices are read through shadows of 16 bits that the update rewrites, activations are of
// 16 bits from the embedding on; master weights,
// norms' parameters, statistics, losses and gradients of parameters stay f32.
#pragma once

#include "ashlar/graph/graph.h"

namespace ashlar::passes {

// compute: kF32 (returns the graph as it is), kBF16 or kF16. Runs after differentiate and the
// update rule.
graph::Graph precision(const graph::Graph& graph, DType compute);

}  // namespace ashlar::passes
