// Merges the four ops of a gated MLP whose packed weights lie in blocks of few bits into one, whose
// kernel may keep what lies between in a core's cache (kernels/gated_mlp_args.h): the same bits.
#pragma once

#include "ashlar/graph/graph.h"

namespace ashlar::passes {

// MLPs with adapters, biases before the gate or activations in 16 bits stay as they are.
graph::Graph merge_mlps(const graph::Graph& packed);

}  // namespace ashlar::passes
