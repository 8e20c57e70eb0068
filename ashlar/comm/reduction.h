// Adds (or takes the maximum of) the terms of several ranks, element by element, in the order
// given: the contract of every reduction between ranks. f64, f32, i32, i64; bf16 in f32, rounded
// once.
#pragma once

#include "ashlar/comm/communicator.h"

namespace ashlar::comm {

// Throws for a dtype that has no such sum.
void check_reducible(DType dtype);

// out[i] = terms[0][i] + terms[1][i] + ...; out may be one of the terms. Integers wrap; a NaN wins
// a maximum.
void reduce_in_order(DType dtype, Reduce reduce, std::span<const std::byte* const> terms,
                     std::byte* out, int64_t n);

}  // namespace ashlar::comm
