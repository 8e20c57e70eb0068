// Moves rows of attention between tensors of any dtype and f32 tiles, and transposes keys into
// slabs [D][16]. Rows of a tile are padded with zeros to a multiple of kLanes.
#pragma once

#include "ashlar/kernels/attention_matmul.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

template <typename T>
ASHLAR_INLINE void widen_row(const T* from, int64_t count, float* to) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(to + i, load(from + i));
  if (i < count) store(to + i, load(from + i, count - i));
}

// to[0, round_up(count)) = from[element ... element + count), then zeros.
ASHLAR_INLINE void load_row(const void* from, DType dtype, int64_t element, int64_t count,
                            float* to) {
  if (dtype == DType::kF32) {
    widen_row(static_cast<const float*>(from) + element, count, to);
  } else if (dtype == DType::kBF16) {
    widen_row(static_cast<const bf16*>(from) + element, count, to);
  } else {
    widen_row(static_cast<const f16*>(from) + element, count, to);
  }
}

template <typename T>
ASHLAR_INLINE void narrow_row(const float* from, int64_t count, Vec scale, T* to) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(to + i, load(from + i) * scale);
  if (i < count) store(to + i, load(from + i) * scale, count - i);
}

// to[element ... element + count) = from * scale, rounded.
ASHLAR_INLINE void store_row(const float* from, int64_t count, float scale, void* to, DType dtype,
                             int64_t element) {
  const Vec factor = broadcast(scale);
  if (dtype == DType::kF32) {
    narrow_row(from, count, factor, static_cast<float*>(to) + element);
  } else if (dtype == DType::kBF16) {
    narrow_row(from, count, factor, static_cast<bf16*>(to) + element);
  } else {
    narrow_row(from, count, factor, static_cast<f16*>(to) + element);
  }
}

ASHLAR_INLINE void clear(float* to, int64_t count) {
  for (int64_t i = 0; i < count; ++i) to[i] = 0;
}

#if defined(__AVX2__)
// to[j][i] = from[i][j] for i, j < 8; rows of `to` are kSlab apart.
ASHLAR_INLINE void transpose_8x8(const float* const* from, int64_t column, float* to) {
  __m256 a[8], b[8];
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) a[i] = _mm256_loadu_ps(from[i] + column);
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    b[i] = _mm256_unpacklo_ps(a[i], a[i + 1]);
    b[i + 1] = _mm256_unpackhi_ps(a[i], a[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    a[i] = _mm256_shuffle_ps(b[i], b[i + 2], 0x44);
    a[i + 1] = _mm256_shuffle_ps(b[i], b[i + 2], 0xee);
    a[i + 2] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0x44);
    a[i + 3] = _mm256_shuffle_ps(b[i + 1], b[i + 3], 0xee);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 4; ++i) {
    _mm256_storeu_ps(to + i * kSlab, _mm256_permute2f128_ps(a[i], a[i + 4], 0x20));
    _mm256_storeu_ps(to + (i + 4) * kSlab, _mm256_permute2f128_ps(a[i], a[i + 4], 0x31));
  }
}
#endif

ASHLAR_INLINE void add_row(const float* from, int64_t count, float* to) {
  int64_t i = 0;
  for (; i + kLanes <= count; i += kLanes) store(to + i, load(to + i) + load(from + i));
  if (i < count) store(to + i, load(to + i, count - i) + load(from + i, count - i), count - i);
}

// slab[d][skip + key] = from[key][d] for `keys` rows that lie `stride` apart, skip + keys <= 16.
// Missing keys repeat the nearest one: nothing uses what they give.
ASHLAR_INLINE void transpose_slab(const float* from, int64_t stride, int64_t skip, int64_t keys,
                                  int64_t head_dim, float* slab) {
  const float* rows[kSlab];
  for (int64_t i = 0; i < kSlab; ++i) {
    rows[i] = from + larger(0, smaller(i - skip, keys - 1)) * stride;
  }
  int64_t d = 0;
#if defined(__AVX2__)
  for (; d + 8 <= head_dim; d += 8) {
    transpose_8x8(rows, d, slab + d * kSlab);
    transpose_8x8(rows + 8, d, slab + d * kSlab + 8);
  }
#endif
  for (; d < head_dim; ++d) {
    for (int64_t i = 0; i < kSlab; ++i) slab[d * kSlab + i] = rows[i][d];
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
