// Products of 16 bits for AVX2: a lane of 32 bits holds two numbers side by side, and an
// instruction adds up their products.
#pragma once

#include "ashlar/kernels/vec_bytes.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// Of four bytes of each of 16 lanes: the first and third, the second and fourth.
struct Pairs {
  Ints even, odd;
};

// Bytes without sign, less `offset`.
ASHLAR_INLINE Pairs split(Ints bytes, int offset) {
  const __m256i low = _mm256_set1_epi16(0xff), by = _mm256_set1_epi16(static_cast<int16_t>(offset));
  return {{_mm256_sub_epi16(_mm256_and_si256(bytes.lo, low), by),
           _mm256_sub_epi16(_mm256_and_si256(bytes.hi, low), by)},
          {_mm256_sub_epi16(_mm256_srli_epi16(bytes.lo, 8), by),
           _mm256_sub_epi16(_mm256_srli_epi16(bytes.hi, 8), by)}};
}
// Products that fit 16 bits.
ASHLAR_INLINE Pairs times(const Pairs& a, Ints by) {
  return {{_mm256_mullo_epi16(a.even.lo, by.lo), _mm256_mullo_epi16(a.even.hi, by.hi)},
          {_mm256_mullo_epi16(a.odd.lo, by.lo), _mm256_mullo_epi16(a.odd.hi, by.hi)}};
}
// The same two numbers in every lane.
ASHLAR_INLINE __m256i broadcast_pair(const int16_t* p) {
  int32_t pair;
  std::memcpy(&pair, p, sizeof(pair));
  return _mm256_set1_epi32(pair);
}
ASHLAR_INLINE Ints dot_pairs(Ints sum, Ints a, __m256i x) {
  sum.lo = _mm256_add_epi32(sum.lo, _mm256_madd_epi16(a.lo, x));
  sum.hi = _mm256_add_epi32(sum.hi, _mm256_madd_epi16(a.hi, x));
  // Step by step: GCC would add the products as a tree, and keep them all on the stack for it.
  asm("" : "+x"(sum.lo), "+x"(sum.hi));
  return sum;
}
// 32 lanes within [-128, 127] as pairs, word by word of four: first and third, second and fourth.
ASHLAR_INLINE void store_pairs(int16_t* p, Ints first, Ints last) {
  int8_t bytes[2 * kLanes];
  store_bytes(bytes, first);
  store_bytes(bytes + kLanes, last);
  const __m256i all = _mm256_loadu_si256(reinterpret_cast<const __m256i*>(bytes));
  const __m256i even = _mm256_srai_epi16(_mm256_slli_epi16(all, 8), 8);
  const __m256i odd = _mm256_srai_epi16(all, 8);
  const __m256i low = _mm256_unpacklo_epi32(even, odd), high = _mm256_unpackhi_epi32(even, odd);
  auto* to = reinterpret_cast<__m256i*>(p);
  _mm256_storeu_si256(to, _mm256_permute2x128_si256(low, high, 0x20));
  _mm256_storeu_si256(to + 1, _mm256_permute2x128_si256(low, high, 0x31));
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
