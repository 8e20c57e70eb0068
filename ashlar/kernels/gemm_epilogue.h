// What follows the sums of a tile: + C_old, + bias, activation, + residual, rounding to C. The
// activation sees its input rounded to C's dtype, as it does when it is an op of its own: a graph
// gives the same bits whether the two are fused or not.
#pragma once

#include "ashlar/kernels/elementwise_activation.h"
#include "ashlar/kernels/fetch.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

ASHLAR_INLINE Vec rounded_to(const float*, Vec v) { return v; }
template <typename T>
ASHLAR_INLINE Vec rounded_to(const T*, Vec v) {
  T buffer[kLanes];
  store(buffer, v);
  return load(buffer);
}

template <typename F, typename T>
ASHLAR_INLINE Vec activate(F f, Vec v, const T* to) {
  return f.value(rounded_to(to, v));
}
template <typename T>
ASHLAR_INLINE Vec activate(Identity, Vec v, const T*) {
  return v;
}

// Writes columns [j, j + count) of row i of C from their sums.
template <typename T, typename F>
static void finish_row(const GemmArgs& args, F f, const float* sums, int64_t i, int64_t j,
                       int64_t count) {
  T* to = static_cast<T*>(args.c) + i * args.c_stride + j;
  const T* residual = static_cast<const T*>(args.residual) + i * args.residual_stride + j;
  const auto finish = [&](Vec v, int64_t k, auto... lanes) __attribute__((always_inline)) {
    if (args.accumulate) v = v + load(to + k, lanes...);
    if (args.bias != nullptr) v = v + load(args.bias + j + k, lanes...);
    v = activate(f, v, to);
    if (args.residual != nullptr) v = v + load(residual + k, lanes...);
    store(to + k, v, lanes...);
  };
  int64_t k = 0;
  for (; k + kLanes <= count; k += kLanes) finish(load(sums + k), k);
  if (k < count) finish(load(sums + k, count - k), k, count - k);
}

// The lines that finish_tile will touch, asked for while their sums are computed: another core may
// have written them last.
ASHLAR_INLINE void fetch_to_finish(const GemmArgs& args, int64_t i, int64_t rows, int64_t j,
                                   int64_t cols) {
  for (int64_t k = i; k < i + rows; ++k) {
    fetch_elements<1>(args.c, args.c_dtype, k * args.c_stride + j, cols);
    if (args.residual == nullptr) continue;
    fetch_elements<0>(args.residual, args.c_dtype, k * args.residual_stride + j, cols);
  }
}

// rows x cols of C from (i, j), from sums whose rows are stride apart.
static void finish_tile(const GemmArgs& args, const float* sums, int64_t stride, int64_t i,
                        int64_t rows, int64_t j, int64_t cols) {
  with_activation(args.activation, [&](auto f) {
    for (int64_t k = 0; k < rows; ++k) {
      if (args.c_dtype == DType::kF32) {
        finish_row<float>(args, f, sums + k * stride, i + k, j, cols);
      } else if (args.c_dtype == DType::kF16) {
        finish_row<f16>(args, f, sums + k * stride, i + k, j, cols);
      } else {
        finish_row<bf16>(args, f, sums + k * stride, i + k, j, cols);
      }
    }
  });
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
