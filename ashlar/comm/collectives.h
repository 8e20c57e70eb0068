// The collectives, written once: each appends one rank's steps to a Program. Sizes and offsets are
// in elements; slices[i] is the part of group index i.
#pragma once

#include "ashlar/comm/program.h"
#include "ashlar/mesh/slice.h"

namespace ashlar::comm {

using Slices = std::vector<Slice>;
Slices slices_of(std::span<const int64_t> counts);
Slices even_slices(const Peers& peers, int64_t n);

// Pairwise: every rank sends each owner its term of the owner's slice, (p-1)/p of the data in all,
// as a ring does. But a ring adds slice i in an order that starts at rank i+1; here the owner holds
// all terms of a chunk and adds them in rank order. Staging stays below kStagingBytes (with two
// chunks of at least 64 elements from each rank), whatever the size.
inline constexpr size_t kStagingBytes = size_t{1} << 20;
void append_reduce_scatter(Program& program, const Peers& peers, Reduce reduce, ConstBuffer in,
                           const Slices& slices, std::byte* out);
// Ring: in p-1 rounds each rank passes on to the next what it got last.
void append_all_gather(Program& program, const Peers& peers, DType dtype, const std::byte* in,
                       const Slices& slices, std::byte* out);
void append_all_reduce(Program& program, const Peers& peers, Reduce reduce, Buffer data);
void append_hierarchical_all_reduce(Program& program, const Peers& inner, const Peers& outer,
                                    Reduce reduce, Buffer data);
// Binomial tree, in chunks, so that its levels work at once.
void append_broadcast(Program& program, const Peers& peers, int root, Buffer data);
void append_gather(Program& program, const Peers& peers, int root, ConstBuffer in,
                   const Slices& slices, std::byte* out);
void append_scatter(Program& program, const Peers& peers, int root, const std::byte* in,
                    const Slices& slices, Buffer out);
// Pairwise: in the k-th exchange, to the k-th rank after this one, from the k-th before.
void append_all_to_all(Program& program, const Peers& peers, DType dtype, const std::byte* in,
                       const Slices& to, std::byte* out, const Slices& from);
// Dissemination (Hensgen, Finkel, Manber 1988): ceil(log2 p) rounds of empty messages.
void append_barrier(Program& program, const Peers& peers);

}  // namespace ashlar::comm
