// The norm of a row. What normalises rows in passing (quant_product.h) has the bits of the norm
// ops.
#pragma once

#include "ashlar/kernels/args.h"
#include "ashlar/kernels/rows_parallel.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

struct RowStatistics {
  float mean, rstd;  // mean: 0 of RMS norms
};

ASHLAR_INLINE float rsqrt(float x) { return 1.0f / __builtin_sqrtf(x); }

// Of a[i] b[i].
template <typename T>
ASHLAR_INLINE float row_sum(const T* a, const T* b, int64_t width) {
  Vec sum = zero();
  for_each_vec(width, [&](int64_t i, auto count) {
    sum = fma(load(a + i, count), load(b + i, count), sum);
  });
  return reduce_add(sum);
}

ASHLAR_INLINE RowStatistics rms_statistics(float squares, int64_t width, float eps) {
  return {0, rsqrt(squares / static_cast<float>(width) + eps)};
}

template <typename T>
ASHLAR_INLINE RowStatistics layer_statistics(const T* x, int64_t columns, float eps) {
  const float width = static_cast<float>(columns);
  Vec sum = zero();
  for_each_vec(columns, [&](int64_t i, auto count) { sum = sum + load(x + i, count); });
  const float mean = reduce_add(sum) / width;
  Vec squares = zero();
  for_each_vec(columns, [&](int64_t i, auto count) {
    const Vec v = keep(load(x + i, count) - broadcast(mean), count);
    squares = fma(v, v, squares);
  });
  return {mean, rsqrt(reduce_add(squares) / width + eps)};
}

// y = (x - mean) rstd w + b, of `columns` elements of all four.
template <bool kLayer, typename T, typename U>
ASHLAR_INLINE void normalise(const T* x, U* y, int64_t columns, const RowStatistics& row,
                             const float* weight, const float* bias, float weight_offset) {
  const Vec offset = broadcast(weight_offset), rstd = broadcast(row.rstd);
  for_each_vec(columns, [&](int64_t i, auto count) {
    const Vec w = load(weight + i, count) + offset;
    if constexpr (kLayer) {
      const Vec z = (load(x + i, count) - broadcast(row.mean)) * rstd;
      store(y + i, fma(z, w, bias != nullptr ? load(bias + i, count) : zero()), count);
    } else {
      store(y + i, load(x + i, count) * rstd * w, count);
    }
  });
}

ASHLAR_INLINE RowStatistics statistics_of(const RowNorm& norm, const float* x, int64_t width) {
  return norm.layer ? layer_statistics(x, width, norm.eps)
                    : rms_statistics(row_sum(x, x, width), width, norm.eps);
}
// Elements [first, first + columns) of the row from x on.
ASHLAR_INLINE void normalise(const RowNorm& norm, const RowStatistics& row, const float* x,
                             int64_t first, int64_t columns, float* y) {
  const float* bias = norm.bias != nullptr ? norm.bias + first : nullptr;
  if (norm.layer) {
    normalise<true>(x + first, y, columns, row, norm.weight + first, bias, norm.weight_offset);
  } else {
    normalise<false>(x + first, y, columns, row, norm.weight + first, bias, norm.weight_offset);
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
