// Keeps the gradients of parameters that are read in bf16 in bf16 as well (ZeRO's 2 + 2 + 12 bytes
// a parameter, Rajbhandari et al. 2020). A microbatch's term is still made in f32; it is rounded
// where it is added to those before, and as it leaves for the rank that keeps a share of the sum.
// Ranks add rounded terms in f32 and round the sum.
#pragma once

#include "ashlar/graph/graph.h"

namespace ashlar::passes {

// dtype: kF32 (returns the graph as it is) or kBF16. Of one rank, behind fuse, before
// bucket_gradients. Gradients of norms and biases, and of what is read in f32, stay f32.
graph::Graph round_gradients(const graph::Graph& graph, DType dtype);

}  // namespace ashlar::passes
