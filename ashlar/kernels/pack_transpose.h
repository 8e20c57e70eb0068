// 16 x 16 transposition of 32-bit lanes in registers, for packing matrices whose reduction
// dimension is contiguous.
#pragma once

#include "ashlar/kernels/vec.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

#if defined(__AVX512F__)

ASHLAR_INLINE __m512 low_pairs(__m512 a, __m512 b) {
  return _mm512_castpd_ps(_mm512_unpacklo_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}
ASHLAR_INLINE __m512 high_pairs(__m512 a, __m512 b) {
  return _mm512_castpd_ps(_mm512_unpackhi_pd(_mm512_castps_pd(a), _mm512_castps_pd(b)));
}

// v[i] lane j becomes v[j] lane i. Rows from kRows on count as zero.
template <int kRows>
ASHLAR_INLINE void transpose(Vec (&v)[16]) {
  __m512 t[16], u[16];
#pragma GCC unroll 8
  for (int i = 0; i < 16; i += 2) {
    t[i] = _mm512_unpacklo_ps(v[i].v, v[i + 1].v);
    t[i + 1] = _mm512_unpackhi_ps(v[i].v, v[i + 1].v);
  }
#pragma GCC unroll 4
  for (int i = 0; i < 16; i += 4) {
    u[i] = low_pairs(t[i], t[i + 2]);
    u[i + 1] = high_pairs(t[i], t[i + 2]);
    u[i + 2] = low_pairs(t[i + 1], t[i + 3]);
    u[i + 3] = high_pairs(t[i + 1], t[i + 3]);
  }
  // u[4q + k] holds, in 128-bit lane l, column 4l + k of rows 4q .. 4q + 3.
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    const __m512 even_low = _mm512_shuffle_f32x4(u[k], u[4 + k], 0x88);
    const __m512 odd_low = _mm512_shuffle_f32x4(u[k], u[4 + k], 0xdd);
    const __m512 even_high = _mm512_shuffle_f32x4(u[8 + k], u[12 + k], 0x88);
    const __m512 odd_high = _mm512_shuffle_f32x4(u[8 + k], u[12 + k], 0xdd);
    v[k].v = _mm512_shuffle_f32x4(even_low, even_high, 0x88);
    v[8 + k].v = _mm512_shuffle_f32x4(even_low, even_high, 0xdd);
    v[4 + k].v = _mm512_shuffle_f32x4(odd_low, odd_high, 0x88);
    v[12 + k].v = _mm512_shuffle_f32x4(odd_low, odd_high, 0xdd);
  }
}

#elif defined(__AVX2__)

ASHLAR_INLINE __m256 low_pairs(__m256 a, __m256 b) {
  return _mm256_castpd_ps(_mm256_unpacklo_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
}
ASHLAR_INLINE __m256 high_pairs(__m256 a, __m256 b) {
  return _mm256_castpd_ps(_mm256_unpackhi_pd(_mm256_castps_pd(a), _mm256_castps_pd(b)));
}

ASHLAR_INLINE void transpose_8x8(__m256 (&v)[8]) {
  __m256 t[8], u[8];
#pragma GCC unroll 4
  for (int i = 0; i < 8; i += 2) {
    t[i] = _mm256_unpacklo_ps(v[i], v[i + 1]);
    t[i + 1] = _mm256_unpackhi_ps(v[i], v[i + 1]);
  }
#pragma GCC unroll 2
  for (int i = 0; i < 8; i += 4) {
    u[i] = low_pairs(t[i], t[i + 2]);
    u[i + 1] = high_pairs(t[i], t[i + 2]);
    u[i + 2] = low_pairs(t[i + 1], t[i + 3]);
    u[i + 3] = high_pairs(t[i + 1], t[i + 3]);
  }
#pragma GCC unroll 4
  for (int k = 0; k < 4; ++k) {
    v[k] = _mm256_permute2f128_ps(u[k], u[4 + k], 0x20);
    v[4 + k] = _mm256_permute2f128_ps(u[k], u[4 + k], 0x31);
  }
}

// v[i] lane j becomes v[j] lane i. Rows from kRows on count as zero.
template <int kRows>
ASHLAR_INLINE void transpose(Vec (&v)[16]) {
  __m256 a[8], b[8], c[8], d[8];  // a b of rows 0-7, c d of rows 8-15
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    a[i] = v[i].lo;
    b[i] = v[i].hi;
    c[i] = v[8 + i].lo;
    d[i] = v[8 + i].hi;
  }
  transpose_8x8(a);
  transpose_8x8(b);
  if constexpr (kRows > 8) {
    transpose_8x8(c);
    transpose_8x8(d);
  }
#pragma GCC unroll 8
  for (int i = 0; i < 8; ++i) {
    v[i] = {a[i], c[i]};
    v[8 + i] = {b[i], d[i]};
  }
}

#else

template <int kRows>
ASHLAR_INLINE void transpose(Vec (&v)[16]) {
  for (int i = 0; i < 16; ++i) {
    for (int j = 0; j < i; ++j) {
      const float x = v[i].lane[j];
      v[i].lane[j] = v[j].lane[i];
      v[j].lane[i] = x;
    }
  }
}

#endif

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
