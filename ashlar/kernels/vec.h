// Vectors of 16 f32 lanes for every tier: the only place that knows a tier's registers. avx512 has
// one zmm a vector, avx2 and avx512_on_avx2 two ymm, scalar an array. Every operation gives the
// same bits on the vector tiers; scalar differs only in fma (a product and a sum, each rounded).
//
//   Vec   16 floats      zero broadcast load store + - * / fma fnma min max abs sqrt round floor
//                        less less_equal greater greater_equal equal select reduce_add reduce_max
//                        swap_pairs
//   Ints  16 int32       ints iota load store + - * & | ^ shift_left shift_right(_signed) to_ints
//                        to_floats as_ints as_floats max equal greater
//                        mul_even odd_lanes pair_even transpose_quads
//   Mask  16 booleans    first_lanes & | ! any all
//
// load and store take float, bf16 and f16 (rounding to nearest even); the forms with a count touch
// only the first `count` elements (0..16) and load zeros beyond them.
#pragma once

#include "ashlar/tensor/dtype.h"

#include <bit>
#include <cstdint>
#include <cstring>

// All kernel code is internal to its tier: nothing may be emitted for the linker to share. Arrays
// of 16 are left to the compiler: forced inline they take ten times as long to compile.
#if defined(__AVX2__)
#define ASHLAR_INLINE static inline __attribute__((always_inline))
#else
#define ASHLAR_INLINE static inline
#endif

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

inline constexpr int kLanes = 16;

// Single elements, with the same rounding as the vectors.
ASHLAR_INLINE float widen(float x) { return x; }
ASHLAR_INLINE float widen(bf16 x) {
  return std::bit_cast<float>(static_cast<uint32_t>(x.bits) << 16);
}
ASHLAR_INLINE float widen(f16 x) {
  const uint32_t sign = static_cast<uint32_t>(x.bits & 0x8000u) << 16;
  const uint32_t magnitude = x.bits & 0x7fffu;
  // The exponent is re-biased by a product with 2^112, which also normalises subnormals.
  const float scaled = std::bit_cast<float>(magnitude << 13) * 0x1.0p112f;
  const uint32_t bits =
      magnitude >= 0x7c00u ? (magnitude << 13) | 0x7f800000u : std::bit_cast<uint32_t>(scaled);
  return std::bit_cast<float>(bits | sign);
}
ASHLAR_INLINE void narrow(float x, float* out) { *out = x; }
ASHLAR_INLINE void narrow(float x, bf16* out) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  const bool nan = (u & 0x7fffffffu) > 0x7f800000u;
  const uint32_t rounded = (u + 0x7fffu + ((u >> 16) & 1u)) >> 16;
  out->bits = static_cast<uint16_t>(nan ? (u >> 16) | 0x40u : rounded);
}
ASHLAR_INLINE void narrow(float x, f16* out) {
  const uint32_t u = std::bit_cast<uint32_t>(x);
  const uint32_t sign = (u >> 16) & 0x8000u;
  const uint32_t magnitude = u & 0x7fffffffu;
  uint32_t bits;
  if (magnitude > 0x7f800000u) {
    bits = 0x7e00u | ((magnitude >> 13) & 0x3ffu);
  } else if (magnitude >= 0x477ff000u) {
    bits = 0x7c00u;
  } else if (magnitude < 0x38800000u) {  // subnormal: adding 0.5 rounds to a multiple of 2^-24
    bits = std::bit_cast<uint32_t>(std::bit_cast<float>(magnitude) + 0.5f) - 0x3f000000u;
  } else {
    bits = (magnitude + 0xfffu + ((magnitude >> 13) & 1u) - 0x38000000u) >> 13;
  }
  out->bits = static_cast<uint16_t>(sign | bits);
}

ASHLAR_INLINE void prefetch(const void* p) { __builtin_prefetch(p, 0, 3); }

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE

#if defined(__AVX512F__)
#include "ashlar/kernels/vec_avx512.h"
#elif defined(__AVX2__)
#include "ashlar/kernels/vec_avx2.h"
#else
#include "ashlar/kernels/vec_scalar.h"
#endif
