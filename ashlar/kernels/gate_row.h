// One row of a gated product, for the op of its own and the MLPs that it is a part of.
#pragma once

#include "ashlar/kernels/rows_parallel.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// out = f(gate) * up; out may be either of them.
template <typename F, typename T>
ASHLAR_INLINE void gate_row(F f, const T* gate, const T* up, T* out, int64_t width) {
  for_each_vec(width, [&](int64_t i, auto count) {
    store(out + i, f.value(load(gate + i, count)) * load(up + i, count), count);
  });
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
