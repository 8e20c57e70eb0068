// Puts the sums of gradients over ranks into buckets, in the order in which backward makes the
// gradients, the last layer's first (Li et al., VLDB 2020): whole gradients in phase R (data
// parallel, ZeRO-1) become one op a bucket, which may start when its last gradient is there. Where
// gradients are kept in shards (ZeRO-2, 3), the terms of a bucket are reduced to their owners
// together and freed when the next bucket is full. Bits do not depend on the buckets.
#pragma once

#include "ashlar/graph/graph.h"

#include <cstdint>

namespace ashlar::passes {

inline constexpr int64_t kBucketBytes = int64_t{25} << 20;  // as PyTorch's DDP has it

// Behind fuse; before plan_memory. A gradient larger than `bytes` is a bucket of its own; of the
// terms of shards a bucket is at most half of that, since one is filled while another leaves. In a
// stage of a pipeline a term that forward makes, as the head's is with its loss, leaves there:
// until backward it would take a slot of every microbatch.
graph::Graph bucket_gradients(const graph::Graph& graph, int64_t bytes = kBucketBytes,
                              bool stage = false);

}  // namespace ashlar::passes
