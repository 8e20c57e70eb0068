// Vec on AVX-512 (F, BW, DQ, VL): one zmm. See vec.h, which includes this file.
#pragma once

// GCC 12 warns inside its own _mm512_undefined_ps (GCC bug 105593).
#pragma GCC diagnostic push
#pragma GCC diagnostic ignored "-Wuninitialized"
#pragma GCC diagnostic ignored "-Wmaybe-uninitialized"
#include <immintrin.h>
#pragma GCC diagnostic pop

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

struct Vec {
  __m512 v;
};
struct Ints {
  __m512i v;
};
struct Mask {
  __mmask16 v;
};

ASHLAR_INLINE __mmask16 lane_bits(int64_t count) {
  return static_cast<__mmask16>((1u << count) - 1u);
}

// ---------------------------------------------------------------- masks
ASHLAR_INLINE Mask first_lanes(int64_t count) { return {lane_bits(count)}; }
ASHLAR_INLINE Mask operator&(Mask a, Mask b) { return {static_cast<__mmask16>(a.v & b.v)}; }
ASHLAR_INLINE Mask operator|(Mask a, Mask b) { return {static_cast<__mmask16>(a.v | b.v)}; }
ASHLAR_INLINE Mask operator!(Mask a) { return {static_cast<__mmask16>(~a.v)}; }
ASHLAR_INLINE bool any(Mask a) { return a.v != 0; }
ASHLAR_INLINE bool all(Mask a) { return a.v == 0xffffu; }

// ---------------------------------------------------------------- floats
ASHLAR_INLINE Vec zero() { return {_mm512_setzero_ps()}; }
ASHLAR_INLINE Vec broadcast(float x) { return {_mm512_set1_ps(x)}; }
ASHLAR_INLINE Vec operator+(Vec a, Vec b) { return {_mm512_add_ps(a.v, b.v)}; }
ASHLAR_INLINE Vec operator-(Vec a, Vec b) { return {_mm512_sub_ps(a.v, b.v)}; }
ASHLAR_INLINE Vec operator*(Vec a, Vec b) { return {_mm512_mul_ps(a.v, b.v)}; }
ASHLAR_INLINE Vec operator/(Vec a, Vec b) { return {_mm512_div_ps(a.v, b.v)}; }
ASHLAR_INLINE Vec operator-(Vec a) { return {_mm512_xor_ps(a.v, _mm512_set1_ps(-0.0f))}; }
// a * b + c and c - a * b, rounded once.
ASHLAR_INLINE Vec fma(Vec a, Vec b, Vec c) { return {_mm512_fmadd_ps(a.v, b.v, c.v)}; }
ASHLAR_INLINE Vec fnma(Vec a, Vec b, Vec c) { return {_mm512_fnmadd_ps(a.v, b.v, c.v)}; }
// As x86 has it: b where either is NaN.
ASHLAR_INLINE Vec min(Vec a, Vec b) { return {_mm512_min_ps(a.v, b.v)}; }
ASHLAR_INLINE Vec max(Vec a, Vec b) { return {_mm512_max_ps(a.v, b.v)}; }
ASHLAR_INLINE Vec abs(Vec a) { return {_mm512_abs_ps(a.v)}; }
ASHLAR_INLINE Vec sqrt(Vec a) { return {_mm512_sqrt_ps(a.v)}; }
ASHLAR_INLINE Vec round(Vec a) { return {_mm512_roundscale_ps(a.v, 8)}; }
ASHLAR_INLINE Vec floor(Vec a) { return {_mm512_roundscale_ps(a.v, 9)}; }
ASHLAR_INLINE Mask less(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LT_OQ)}; }
ASHLAR_INLINE Mask less_equal(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_LE_OQ)}; }
ASHLAR_INLINE Mask greater(Vec a, Vec b) { return less(b, a); }
ASHLAR_INLINE Mask greater_equal(Vec a, Vec b) { return less_equal(b, a); }
ASHLAR_INLINE Mask equal(Vec a, Vec b) { return {_mm512_cmp_ps_mask(a.v, b.v, _CMP_EQ_OQ)}; }
// mask ? a : b
ASHLAR_INLINE Vec select(Mask m, Vec a, Vec b) { return {_mm512_mask_blend_ps(m.v, b.v, a.v)}; }

// ---------------------------------------------------------------- integers
ASHLAR_INLINE Ints ints(int32_t x) { return {_mm512_set1_epi32(x)}; }
ASHLAR_INLINE Ints iota() {
  return {_mm512_setr_epi32(0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15)};
}
ASHLAR_INLINE Ints load(const int32_t* p) { return {_mm512_loadu_si512(p)}; }
ASHLAR_INLINE void store(int32_t* p, Ints a) { _mm512_storeu_si512(p, a.v); }
ASHLAR_INLINE Ints operator+(Ints a, Ints b) { return {_mm512_add_epi32(a.v, b.v)}; }
ASHLAR_INLINE Ints operator-(Ints a, Ints b) { return {_mm512_sub_epi32(a.v, b.v)}; }
ASHLAR_INLINE Ints operator*(Ints a, Ints b) { return {_mm512_mullo_epi32(a.v, b.v)}; }
ASHLAR_INLINE Ints operator&(Ints a, Ints b) { return {_mm512_and_si512(a.v, b.v)}; }
ASHLAR_INLINE Ints operator|(Ints a, Ints b) { return {_mm512_or_si512(a.v, b.v)}; }
ASHLAR_INLINE Ints operator^(Ints a, Ints b) { return {_mm512_xor_si512(a.v, b.v)}; }
template <int kBits>
ASHLAR_INLINE Ints shift_left(Ints a) {
  return {_mm512_slli_epi32(a.v, kBits)};
}
template <int kBits>
ASHLAR_INLINE Ints shift_right(Ints a) {
  return {_mm512_srli_epi32(a.v, kBits)};
}
template <int kBits>
ASHLAR_INLINE Ints shift_right_signed(Ints a) {
  return {_mm512_srai_epi32(a.v, kBits)};
}
// Unsigned 64-bit products of the even lanes, each over its pair of lanes.
ASHLAR_INLINE Ints mul_even(Ints a, Ints b) { return {_mm512_mul_epu32(a.v, b.v)}; }
// Odd lanes moved to the even ones, zeros behind; even lanes of a and of b, side by side.
ASHLAR_INLINE Ints odd_lanes(Ints a) { return {_mm512_srli_epi64(a.v, 32)}; }
ASHLAR_INLINE Ints pair_even(Ints a, Ints b) {
  return {_mm512_mask_blend_epi32(0xaaaa, a.v, _mm512_slli_epi64(b.v, 32))};
}
ASHLAR_INLINE Mask equal(Ints a, Ints b) { return {_mm512_cmpeq_epi32_mask(a.v, b.v)}; }
ASHLAR_INLINE Ints max(Ints a, Ints b) { return {_mm512_max_epi32(a.v, b.v)}; }
ASHLAR_INLINE Mask greater(Ints a, Ints b) { return {_mm512_cmpgt_epi32_mask(a.v, b.v)}; }
ASHLAR_INLINE Ints select(Mask m, Ints a, Ints b) {
  return {_mm512_mask_blend_epi32(m.v, b.v, a.v)};
}
ASHLAR_INLINE Ints to_ints(Vec a) { return {_mm512_cvtps_epi32(a.v)}; }  // to nearest even
ASHLAR_INLINE Vec to_floats(Ints a) { return {_mm512_cvtepi32_ps(a.v)}; }
ASHLAR_INLINE Ints as_ints(Vec a) { return {_mm512_castps_si512(a.v)}; }
ASHLAR_INLINE Vec as_floats(Ints a) { return {_mm512_castsi512_ps(a.v)}; }

// ---------------------------------------------------------------- memory
ASHLAR_INLINE Vec load(const float* p) { return {_mm512_loadu_ps(p)}; }
ASHLAR_INLINE Vec load(const float* p, int64_t count) {
  return {_mm512_maskz_loadu_ps(lane_bits(count), p)};
}
ASHLAR_INLINE void store(float* p, Vec a) { _mm512_storeu_ps(p, a.v); }
ASHLAR_INLINE void store(float* p, Vec a, int64_t count) {
  _mm512_mask_storeu_ps(p, lane_bits(count), a.v);
}

ASHLAR_INLINE Vec widen_bf16(__m256i h) {
  return {_mm512_castsi512_ps(_mm512_slli_epi32(_mm512_cvtepu16_epi32(h), 16))};
}
// In integers: vcvtneps2bf16 would flush subnormals.
ASHLAR_INLINE __m256i narrow_bf16(Vec a) {
  const __m512i u = _mm512_castps_si512(a.v);
  const __m512i odd = _mm512_and_si512(_mm512_srli_epi32(u, 16), _mm512_set1_epi32(1));
  const __m512i rounded = _mm512_add_epi32(u, _mm512_add_epi32(odd, _mm512_set1_epi32(0x7fff)));
  const __mmask16 nan = _mm512_cmp_ps_mask(a.v, a.v, _CMP_UNORD_Q);
  const __m512i quiet = _mm512_mask_or_epi32(rounded, nan, u, _mm512_set1_epi32(0x400000));
  return _mm512_cvtepi32_epi16(_mm512_srli_epi32(quiet, 16));
}
ASHLAR_INLINE Vec load(const bf16* p) {
  return widen_bf16(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)));
}
ASHLAR_INLINE Vec load(const bf16* p, int64_t count) {
  return widen_bf16(_mm256_maskz_loadu_epi16(lane_bits(count), p));
}
ASHLAR_INLINE void store(bf16* p, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), narrow_bf16(a));
}
ASHLAR_INLINE void store(bf16* p, Vec a, int64_t count) {
  _mm256_mask_storeu_epi16(p, lane_bits(count), narrow_bf16(a));
}

ASHLAR_INLINE Vec load(const f16* p) {
  return {_mm512_cvtph_ps(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
ASHLAR_INLINE Vec load(const f16* p, int64_t count) {
  return {_mm512_cvtph_ps(_mm256_maskz_loadu_epi16(lane_bits(count), p))};
}
ASHLAR_INLINE void store(f16* p, Vec a) {
  _mm256_storeu_si256(reinterpret_cast<__m256i*>(p), _mm512_cvtps_ph(a.v, 0));
}
ASHLAR_INLINE void store(f16* p, Vec a, int64_t count) {
  _mm256_mask_storeu_epi16(p, lane_bits(count), _mm512_cvtps_ph(a.v, 0));
}

// ---------------------------------------------------------------- across lanes
// Trees: lane j with j + 8, j + 4, j + 2, j + 1.
ASHLAR_INLINE float reduce_add(Vec a) {
  const __m256 h = _mm256_add_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 q = _mm_add_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  q = _mm_add_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_add_ss(q, _mm_shuffle_ps(q, q, 1)));
}
ASHLAR_INLINE float reduce_max(Vec a) {
  const __m256 h = _mm256_max_ps(_mm512_castps512_ps256(a.v), _mm512_extractf32x8_ps(a.v, 1));
  __m128 q = _mm_max_ps(_mm256_castps256_ps128(h), _mm256_extractf128_ps(h, 1));
  q = _mm_max_ps(q, _mm_movehl_ps(q, q));
  return _mm_cvtss_f32(_mm_max_ss(q, _mm_shuffle_ps(q, q, 1)));
}
// Lanes 2i and 2i + 1 change places.
ASHLAR_INLINE Vec swap_pairs(Vec a) { return {_mm512_permute_ps(a.v, 0xb1)}; }
// In each group of 4 lanes, w[0..3] are the columns of a 4x4 matrix: transposes them in place.
ASHLAR_INLINE void transpose_quads(Ints (&w)[4]) {
  const __m512i a = _mm512_unpacklo_epi32(w[0].v, w[1].v);
  const __m512i b = _mm512_unpackhi_epi32(w[0].v, w[1].v);
  const __m512i c = _mm512_unpacklo_epi32(w[2].v, w[3].v);
  const __m512i d = _mm512_unpackhi_epi32(w[2].v, w[3].v);
  w[0].v = _mm512_unpacklo_epi64(a, c);
  w[1].v = _mm512_unpackhi_epi64(a, c);
  w[2].v = _mm512_unpacklo_epi64(b, d);
  w[3].v = _mm512_unpackhi_epi64(b, d);
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
