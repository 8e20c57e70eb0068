// Arithmetic of extents that are cut into parts.
#pragma once

#include "ashlar/kernels/vec.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

ASHLAR_INLINE int64_t lesser(int64_t a, int64_t b) { return a < b ? a : b; }
ASHLAR_INLINE int64_t greater_of(int64_t a, int64_t b) { return a > b ? a : b; }
ASHLAR_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
ASHLAR_INLINE int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
