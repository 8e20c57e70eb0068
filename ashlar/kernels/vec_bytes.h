// Products of bytes for every tier: codes of quantised weights (unsigned) by those of activations
// (signed), four products to a lane. Sums are exact, so every tier gives the same ones.
//
//   Bytes sums: the processor sums four products a lane itself (VNNI); codes of up to 8 bits.
//   Nibble sums: elsewhere; codes of up to 4 bits, kMostNibbleSteps steps. A lane's sum is that of
//   two halves of 16 bits: of the first two products of every four, and of the last two.
#pragma once

#include "ashlar/kernels/vec.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// 16 lanes of 4 bytes.
ASHLAR_INLINE Ints load_words(const std::byte* p) {
  return load(reinterpret_cast<const int32_t*>(p));
}
// The same 4 bytes in every lane.
ASHLAR_INLINE Ints broadcast_word(const int8_t* p) {
  int32_t word;
  std::memcpy(&word, p, sizeof(word));
  return ints(word);
}
ASHLAR_INLINE Ints low_nibbles(Ints words) { return words & ints(0x0f0f0f0f); }
ASHLAR_INLINE Ints high_nibbles(Ints words) { return shift_right<4>(words) & ints(0x0f0f0f0f); }

// 15 * 127 * 2 a step stays within 16 bits that often.
inline constexpr int kMostNibbleSteps = 8;

#if defined(__AVX512F__)

inline constexpr bool kSumsBytes = true;
ASHLAR_INLINE Ints dot_bytes(Ints sum, Ints codes, Ints x) {
  return {_mm512_dpbusd_epi32(sum.v, codes.v, x.v)};
}
// load_bytes, load_shorts: 16 of them, zero- or sign-extended. add_short_products: sum + a * b, of
// lanes that fit 16 bits.
ASHLAR_INLINE Ints load_bytes(const uint8_t* p) {
  return {_mm512_cvtepu8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
ASHLAR_INLINE Ints load_bytes(const int8_t* p) {
  return {_mm512_cvtepi8_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p)))};
}
ASHLAR_INLINE Ints load_shorts(const int16_t* p) {
  return {_mm512_cvtepi16_epi32(_mm256_loadu_si256(reinterpret_cast<const __m256i*>(p)))};
}
ASHLAR_INLINE Ints add_short_products(Ints sum, Ints a, Ints b) {
  return {_mm512_dpwssd_epi32(sum.v, a.v, _mm512_maskz_mov_epi16(0x55555555u, b.v))};
}
// Lanes within [-128, 127].
ASHLAR_INLINE void store_bytes(int8_t* p, Ints a) {
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), _mm512_cvtepi32_epi8(a.v));
}

#elif defined(__AVX2__)

inline constexpr bool kSumsBytes = false;
ASHLAR_INLINE Ints dot_bytes(Ints sum, Ints, Ints) { return sum; }
struct NibbleSums {
  __m256i lo, hi;
};
// Every lane's, from its two halves.
ASHLAR_INLINE NibbleSums nibble_sums(int32_t halves) {
  return {_mm256_set1_epi32(halves), _mm256_set1_epi32(halves)};
}
ASHLAR_INLINE NibbleSums dot_nibbles(NibbleSums s, Ints codes, Ints x) {
  s.lo = _mm256_add_epi16(s.lo, _mm256_maddubs_epi16(codes.lo, x.lo));
  s.hi = _mm256_add_epi16(s.hi, _mm256_maddubs_epi16(codes.hi, x.hi));
  // Step by step: GCC would add the products as a tree, and keep them all on the stack for it.
  asm("" : "+x"(s.lo), "+x"(s.hi));
  return s;
}
// Lanes that fit 16 bits, in both halves.
ASHLAR_INLINE Ints in_pairs(Ints a) { return (a & ints(0xffff)) | shift_left<16>(a); }
// sum + s * by, where `by` fits 16 bits.
ASHLAR_INLINE Ints add_scaled(Ints sum, NibbleSums s, Ints by) {
  const Ints both = in_pairs(by);
  return sum + Ints{_mm256_madd_epi16(s.lo, both.lo), _mm256_madd_epi16(s.hi, both.hi)};
}
// by * the sums of codes 0..15 and of 16..31, or of all, in halves.
template <bool kAll>
ASHLAR_INLINE void nibble_starts(const int8_t* codes, int by, int32_t (&starts)[2]) {
  __m256i sums = _mm256_maddubs_epi16(_mm256_set1_epi8(1),
                                      _mm256_loadu_si256(reinterpret_cast<const __m256i*>(codes)));
  if constexpr (kAll) sums = _mm256_add_epi16(sums, _mm256_permute4x64_epi64(sums, 0x4e));
  sums = _mm256_add_epi16(sums, _mm256_shuffle_epi32(sums, 0x4e));
  sums = _mm256_add_epi16(sums, _mm256_shuffle_epi32(sums, 0xb1));
  sums = _mm256_mullo_epi16(sums, _mm256_set1_epi16(static_cast<int16_t>(by)));
  starts[0] = _mm256_extract_epi32(sums, 0);
  starts[1] = _mm256_extract_epi32(sums, 4);
}

ASHLAR_INLINE Ints load_bytes(const uint8_t* p) {
  return {_mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtepu8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 8)))};
}
ASHLAR_INLINE Ints load_bytes(const int8_t* p) {
  return {_mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtepi8_epi32(_mm_loadl_epi64(reinterpret_cast<const __m128i*>(p + 8)))};
}
ASHLAR_INLINE Ints load_shorts(const int16_t* p) {
  return {_mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p))),
          _mm256_cvtepi16_epi32(_mm_loadu_si128(reinterpret_cast<const __m128i*>(p + 8)))};
}
ASHLAR_INLINE Ints add_short_products(Ints sum, Ints a, Ints b) {
  b = b & ints(0xffff);
  return sum + Ints{_mm256_madd_epi16(a.lo, b.lo), _mm256_madd_epi16(a.hi, b.hi)};
}
ASHLAR_INLINE void store_bytes(int8_t* p, Ints a) {
  const __m256i words = _mm256_permute4x64_epi64(_mm256_packs_epi32(a.lo, a.hi), 0xd8);
  const __m128i bytes =
      _mm_packs_epi16(_mm256_castsi256_si128(words), _mm256_extracti128_si256(words, 1));
  _mm_storeu_si128(reinterpret_cast<__m128i*>(p), bytes);
}

#else

inline constexpr bool kSumsBytes = true;
ASHLAR_INLINE Ints dot_bytes(Ints sum, Ints codes, Ints x) {
  for (int i = 0; i < kLanes; ++i) {
    uint8_t code[4];
    int8_t by[4];
    std::memcpy(code, &codes.lane[i], 4);
    std::memcpy(by, &x.lane[i], 4);
    for (int k = 0; k < 4; ++k) sum.lane[i] += code[k] * by[k];
  }
  return sum;
}
template <typename T>
ASHLAR_INLINE Ints load_bytes(const T* p) {
  Ints a;
  for (int i = 0; i < kLanes; ++i) a.lane[i] = p[i];
  return a;
}
ASHLAR_INLINE Ints load_shorts(const int16_t* p) { return load_bytes(p); }
ASHLAR_INLINE Ints add_short_products(Ints sum, Ints a, Ints b) { return sum + a * b; }
ASHLAR_INLINE void store_bytes(int8_t* p, Ints a) {
  for (int i = 0; i < kLanes; ++i) p[i] = static_cast<int8_t>(a.lane[i]);
}

#endif

// The sum of 16 bytes.
#if defined(__AVX2__)
ASHLAR_INLINE int32_t sum_bytes(const int8_t* p) {
  const __m128i bytes = _mm_loadu_si128(reinterpret_cast<const __m128i*>(p));
  const __m128i without_sign = _mm_xor_si128(bytes, _mm_set1_epi8(-128));
  const __m128i sums = _mm_sad_epu8(without_sign, _mm_setzero_si128());
  return _mm_cvtsi128_si32(_mm_add_epi32(sums, _mm_unpackhi_epi64(sums, sums))) - 16 * 128;
}
#else
ASHLAR_INLINE int32_t sum_bytes(const int8_t* p) {
  int32_t sum = 0;
  for (int i = 0; i < 16; ++i) sum += p[i];
  return sum;
}
#endif

#if defined(__AVX512F__) || !defined(__AVX2__)
// Where bytes are summed these are not called.
struct NibbleSums {};
ASHLAR_INLINE NibbleSums nibble_sums(int32_t) { return {}; }
ASHLAR_INLINE NibbleSums dot_nibbles(NibbleSums s, Ints, Ints) { return s; }
ASHLAR_INLINE Ints add_scaled(Ints sum, NibbleSums, Ints) { return sum; }
template <bool kAll>
ASHLAR_INLINE void nibble_starts(const int8_t*, int, int32_t (&)[2]) {}
#endif

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
