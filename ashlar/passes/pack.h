// Lets every linear of an inference graph, those of experts too, read its weight in the packed
// layout of the kernel table: weights are then laid out once, at load, instead of in every product.
// Keeps every bit. A matrix that something else reads too (a tied embedding) stays beside its
// packed form. Ends with what the kernels compute as one from packed weights (merge_mlp.h).
#pragma once

#include "ashlar/graph/graph.h"

namespace ashlar::passes {

// Packed Variables are named "NAME.packed", kind kPacked, u8 [bytes] (experts: [experts, bytes]);
// runtime::pack_weights fills them. Throws for a graph with a backward.
graph::Graph pack(const graph::Graph& inference, const kernels::KernelTable& table);

}  // namespace ashlar::passes
