// Vec on AVX2, FMA and F16C: two ymm, lanes 0-7 and 8-15. See vec.h, which includes this file.
#pragma once

#include <immintrin.h>

#include <cstring>

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

struct Vec {
  __m256 lo, hi;
};
struct Ints {
  __m256i lo, hi;
};
struct Mask {  // all bits of a lane set, or none
  __m256i lo, hi;
};

ASHLAR_INLINE Mask as_mask(Vec a) { return {_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)}; }

// ---------------------------------------------------------------- masks
ASHLAR_INLINE Mask first_lanes(int64_t count) {
  const __m256i n = _mm256_set1_epi32(static_cast<int>(count));
  return {_mm256_cmpgt_epi32(n, _mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7)),
          _mm256_cmpgt_epi32(n, _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15))};
}
ASHLAR_INLINE Mask operator&(Mask a, Mask b) {
  return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)};
}
ASHLAR_INLINE Mask operator|(Mask a, Mask b) {
  return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)};
}
ASHLAR_INLINE Mask operator!(Mask a) {
  const __m256i ones = _mm256_set1_epi32(-1);
  return {_mm256_xor_si256(a.lo, ones), _mm256_xor_si256(a.hi, ones)};
}
ASHLAR_INLINE bool any(Mask a) {
  const __m256i either = _mm256_or_si256(a.lo, a.hi);
  return _mm256_testz_si256(either, either) == 0;
}
ASHLAR_INLINE bool all(Mask a) {
  return _mm256_testc_si256(_mm256_and_si256(a.lo, a.hi), _mm256_set1_epi32(-1)) != 0;
}

// ---------------------------------------------------------------- floats
ASHLAR_INLINE Vec zero() { return {_mm256_setzero_ps(), _mm256_setzero_ps()}; }
ASHLAR_INLINE Vec broadcast(float x) { return {_mm256_set1_ps(x), _mm256_set1_ps(x)}; }
ASHLAR_INLINE Vec operator+(Vec a, Vec b) {
  return {_mm256_add_ps(a.lo, b.lo), _mm256_add_ps(a.hi, b.hi)};
}
ASHLAR_INLINE Vec operator-(Vec a, Vec b) {
  return {_mm256_sub_ps(a.lo, b.lo), _mm256_sub_ps(a.hi, b.hi)};
}
ASHLAR_INLINE Vec operator*(Vec a, Vec b) {
  return {_mm256_mul_ps(a.lo, b.lo), _mm256_mul_ps(a.hi, b.hi)};
}
ASHLAR_INLINE Vec operator/(Vec a, Vec b) {
  return {_mm256_div_ps(a.lo, b.lo), _mm256_div_ps(a.hi, b.hi)};
}
ASHLAR_INLINE Vec operator-(Vec a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_xor_ps(a.lo, sign), _mm256_xor_ps(a.hi, sign)};
}
// a * b + c and c - a * b, rounded once.
ASHLAR_INLINE Vec fma(Vec a, Vec b, Vec c) {
  return {_mm256_fmadd_ps(a.lo, b.lo, c.lo), _mm256_fmadd_ps(a.hi, b.hi, c.hi)};
}
ASHLAR_INLINE Vec fnma(Vec a, Vec b, Vec c) {
  return {_mm256_fnmadd_ps(a.lo, b.lo, c.lo), _mm256_fnmadd_ps(a.hi, b.hi, c.hi)};
}
// As x86 has it: b where either is NaN.
ASHLAR_INLINE Vec min(Vec a, Vec b) {
  return {_mm256_min_ps(a.lo, b.lo), _mm256_min_ps(a.hi, b.hi)};
}
ASHLAR_INLINE Vec max(Vec a, Vec b) {
  return {_mm256_max_ps(a.lo, b.lo), _mm256_max_ps(a.hi, b.hi)};
}
ASHLAR_INLINE Vec abs(Vec a) {
  const __m256 sign = _mm256_set1_ps(-0.0f);
  return {_mm256_andnot_ps(sign, a.lo), _mm256_andnot_ps(sign, a.hi)};
}
ASHLAR_INLINE Vec sqrt(Vec a) { return {_mm256_sqrt_ps(a.lo), _mm256_sqrt_ps(a.hi)}; }
ASHLAR_INLINE Vec round(Vec a) { return {_mm256_round_ps(a.lo, 8), _mm256_round_ps(a.hi, 8)}; }
ASHLAR_INLINE Vec floor(Vec a) { return {_mm256_round_ps(a.lo, 9), _mm256_round_ps(a.hi, 9)}; }
ASHLAR_INLINE Mask less(Vec a, Vec b) {
  return as_mask({_mm256_cmp_ps(a.lo, b.lo, _CMP_LT_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LT_OQ)});
}
ASHLAR_INLINE Mask less_equal(Vec a, Vec b) {
  return as_mask({_mm256_cmp_ps(a.lo, b.lo, _CMP_LE_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_LE_OQ)});
}
ASHLAR_INLINE Mask greater(Vec a, Vec b) { return less(b, a); }
ASHLAR_INLINE Mask greater_equal(Vec a, Vec b) { return less_equal(b, a); }
ASHLAR_INLINE Mask equal(Vec a, Vec b) {
  return as_mask({_mm256_cmp_ps(a.lo, b.lo, _CMP_EQ_OQ), _mm256_cmp_ps(a.hi, b.hi, _CMP_EQ_OQ)});
}
// mask ? a : b
ASHLAR_INLINE Vec select(Mask m, Vec a, Vec b) {
  return {_mm256_blendv_ps(b.lo, a.lo, _mm256_castsi256_ps(m.lo)),
          _mm256_blendv_ps(b.hi, a.hi, _mm256_castsi256_ps(m.hi))};
}

// ---------------------------------------------------------------- integers
ASHLAR_INLINE Ints ints(int32_t x) { return {_mm256_set1_epi32(x), _mm256_set1_epi32(x)}; }
ASHLAR_INLINE Ints iota() {
  return {_mm256_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7),
          _mm256_setr_epi32(8, 9, 10, 11, 12, 13, 14, 15)};
}
ASHLAR_INLINE Ints load(const int32_t* p) {
  return {_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)),
          _mm256_loadu_si256(reinterpret_cast<const __m256i*>(p + 8))};
}
ASHLAR_INLINE void store(int32_t* p, Ints a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), a.lo);
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p + 8), a.hi);
}
ASHLAR_INLINE Ints operator+(Ints a, Ints b) {
  return {_mm256_add_epi32(a.lo, b.lo), _mm256_add_epi32(a.hi, b.hi)};
}
ASHLAR_INLINE Ints operator-(Ints a, Ints b) {
  return {_mm256_sub_epi32(a.lo, b.lo), _mm256_sub_epi32(a.hi, b.hi)};
}
ASHLAR_INLINE Ints operator*(Ints a, Ints b) {
  return {_mm256_mullo_epi32(a.lo, b.lo), _mm256_mullo_epi32(a.hi, b.hi)};
}
ASHLAR_INLINE Ints operator&(Ints a, Ints b) {
  return {_mm256_and_si256(a.lo, b.lo), _mm256_and_si256(a.hi, b.hi)};
}
ASHLAR_INLINE Ints operator|(Ints a, Ints b) {
  return {_mm256_or_si256(a.lo, b.lo), _mm256_or_si256(a.hi, b.hi)};
}
ASHLAR_INLINE Ints operator^(Ints a, Ints b) {
  return {_mm256_xor_si256(a.lo, b.lo), _mm256_xor_si256(a.hi, b.hi)};
}
template <int kBits>
ASHLAR_INLINE Ints shift_left(Ints a) {
  return {_mm256_slli_epi32(a.lo, kBits), _mm256_slli_epi32(a.hi, kBits)};
}
template <int kBits>
ASHLAR_INLINE Ints shift_right(Ints a) {
  return {_mm256_srli_epi32(a.lo, kBits), _mm256_srli_epi32(a.hi, kBits)};
}
template <int kBits>
ASHLAR_INLINE Ints shift_right_signed(Ints a) {
  return {_mm256_srai_epi32(a.lo, kBits), _mm256_srai_epi32(a.hi, kBits)};
}
// Unsigned 64-bit products of the even lanes, each over its pair of lanes.
ASHLAR_INLINE Ints mul_even(Ints a, Ints b) {
  return {_mm256_mul_epu32(a.lo, b.lo), _mm256_mul_epu32(a.hi, b.hi)};
}
// Odd lanes moved to the even ones, zeros behind; even lanes of a and of b, side by side.
ASHLAR_INLINE Ints odd_lanes(Ints a) {
  return {_mm256_srli_epi64(a.lo, 32), _mm256_srli_epi64(a.hi, 32)};
}
ASHLAR_INLINE Ints pair_even(Ints a, Ints b) {
  return {_mm256_blend_epi32(a.lo, _mm256_slli_epi64(b.lo, 32), 0xaa),
          _mm256_blend_epi32(a.hi, _mm256_slli_epi64(b.hi, 32), 0xaa)};
}
ASHLAR_INLINE Mask equal(Ints a, Ints b) {
  return {_mm256_cmpeq_epi32(a.lo, b.lo), _mm256_cmpeq_epi32(a.hi, b.hi)};
}
ASHLAR_INLINE Ints max(Ints a, Ints b) {
  return {_mm256_max_epi32(a.lo, b.lo), _mm256_max_epi32(a.hi, b.hi)};
}
ASHLAR_INLINE Mask greater(Ints a, Ints b) {
  return {_mm256_cmpgt_epi32(a.lo, b.lo), _mm256_cmpgt_epi32(a.hi, b.hi)};
}
ASHLAR_INLINE Ints select(Mask m, Ints a, Ints b) {
  return {_mm256_blendv_epi8(b.lo, a.lo, m.lo), _mm256_blendv_epi8(b.hi, a.hi, m.hi)};
}
ASHLAR_INLINE Ints to_ints(Vec a) {  // to nearest even
  return {_mm256_cvtps_epi32(a.lo), _mm256_cvtps_epi32(a.hi)};
}
ASHLAR_INLINE Vec to_floats(Ints a) { return {_mm256_cvtepi32_ps(a.lo), _mm256_cvtepi32_ps(a.hi)}; }
ASHLAR_INLINE Ints as_ints(Vec a) { return {_mm256_castps_si256(a.lo), _mm256_castps_si256(a.hi)}; }
ASHLAR_INLINE Vec as_floats(Ints a) {
  return {_mm256_castsi256_ps(a.lo), _mm256_castsi256_ps(a.hi)};
}

// ---------------------------------------------------------------- memory
ASHLAR_INLINE Vec load(const float* p) { return {_mm256_loadu_ps(p), _mm256_loadu_ps(p + 8)}; }
ASHLAR_INLINE Vec load(const float* p, int64_t count) {
  const Mask m = first_lanes(count);
  return {_mm256_maskload_ps(p, m.lo), _mm256_maskload_ps(p + 8, m.hi)};
}
ASHLAR_INLINE void store(float* p, Vec a) {
  _mm256_storeu_ps(p, a.lo);
  _mm256_storeu_ps(p + 8, a.hi);
}
ASHLAR_INLINE void store(float* p, Vec a, int64_t count) {
  const Mask m = first_lanes(count);
  _mm256_maskstore_ps(p, m.lo, a.lo);
  _mm256_maskstore_ps(p + 8, m.hi, a.hi);
}

// 16-bit elements have no masked moves: tails go through a buffer.
struct Halves {
  uint16_t bits[kLanes];
};
template <typename T>
ASHLAR_INLINE Halves load_halves(const T* p, int64_t count) {
  Halves h = {};
  std::memcpy(h.bits, p, static_cast<size_t>(count) * sizeof(T));
  return h;
}
ASHLAR_INLINE __m128i load_half(const void* p) {
  return _mm_loadu_si128(static_cast<const __m128i*>(p));
}

ASHLAR_INLINE __m256 widen_bf16(__m128i h) {
  return _mm256_castsi256_ps(_mm256_slli_epi32(_mm256_cvtepu16_epi32(h), 16));
}
ASHLAR_INLINE __m256i round_bf16(__m256 a) {  // the bf16 in the upper half of each lane
  const __m256i u = _mm256_castps_si256(a);
  const __m256i odd = _mm256_and_si256(_mm256_srli_epi32(u, 16), _mm256_set1_epi32(1));
  const __m256i rounded = _mm256_add_epi32(u, _mm256_add_epi32(odd, _mm256_set1_epi32(0x7fff)));
  const __m256i quiet = _mm256_or_si256(u, _mm256_set1_epi32(0x400000));
  const __m256i nan = _mm256_castps_si256(_mm256_cmp_ps(a, a, _CMP_UNORD_Q));
  return _mm256_srli_epi32(_mm256_blendv_epi8(rounded, quiet, nan), 16);
}
ASHLAR_INLINE Vec load(const bf16* p) {
  return {widen_bf16(load_half(p)), widen_bf16(load_half(p + 8))};
}
ASHLAR_INLINE void store(bf16* p, Vec a) {
  const __m256i mixed = _mm256_packus_epi32(round_bf16(a.lo), round_bf16(a.hi));
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm256_permute4x64_epi64(mixed, 0xd8));
}
ASHLAR_INLINE Vec load(const bf16* p, int64_t count) {
  const Halves h = load_halves(p, count);
  return {widen_bf16(load_half(h.bits)), widen_bf16(load_half(h.bits + 8))};
}
ASHLAR_INLINE void store(bf16* p, Vec a, int64_t count) {
  bf16 buffer[kLanes];
  store(buffer, a);
  std::memcpy(p, buffer, static_cast<size_t>(count) * sizeof(bf16));
}

ASHLAR_INLINE Vec load(const f16* p) {
  return {_mm256_cvtph_ps(load_half(p)), _mm256_cvtph_ps(load_half(p + 8))};
}
ASHLAR_INLINE void store(f16* p, Vec a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm256_cvtps_ph(a.lo, 0));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p + 8), _mm256_cvtps_ph(a.hi, 0));
}
ASHLAR_INLINE Vec load(const f16* p, int64_t count) {
  const Halves h = load_halves(p, count);
  return {_mm256_cvtph_ps(load_half(h.bits)), _mm256_cvtph_ps(load_half(h.bits + 8))};
}
ASHLAR_INLINE void store(f16* p, Vec a, int64_t count) {
  f16 buffer[kLanes];
  store(buffer, a);
  std::memcpy(p, buffer, static_cast<size_t>(count) * sizeof(f16));
}

// ---------------------------------------------------------------- across lanes
// Trees: lane j with j + 8, j + 4, j + 2, j + 1.
ASHLAR_INLINE float reduce_add(Vec a) {
  const __m256 h = _mm256_add_ps(a.lo, a.hi);
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}
ASHLAR_INLINE float reduce_max(Vec a) {
  const __m256 h = _mm256_max_ps(a.lo, a.hi);
  __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  q = _mm_max_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
}
// Lanes 2i and 2i + 1 change places.
ASHLAR_INLINE Vec swap_pairs(Vec a) {
  return {_mm256_permute_ps(a.lo, 0xb1), _mm256_permute_ps(a.hi, 0xb1)};
}
// In each group of 4 lanes, w[0..3] are the columns of a 4x4 matrix: transposes them in place.
ASHLAR_INLINE void transpose_half(__m256i& w0, __m256i& w1, __m256i& w2, __m256i& w3) {
  const __m256i a = _mm256_unpacklo_epi32(w0, w1), b = _mm256_unpackhi_epi32(w0, w1);
  const __m256i c = _mm256_unpacklo_epi32(w2, w3), d = _mm256_unpackhi_epi32(w2, w3);
  w0 = _mm256_unpacklo_epi64(a, c);
  w1 = _mm256_unpackhi_epi64(a, c);
  w2 = _mm256_unpacklo_epi64(b, d);
  w3 = _mm256_unpackhi_epi64(b, d);
}
ASHLAR_INLINE void transpose_quads(Ints (&w)[4]) {
  transpose_half(w[0].lo, w[1].lo, w[2].lo, w[3].lo);
  transpose_half(w[0].hi, w[1].hi, w[2].hi, w[3].hi);
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
