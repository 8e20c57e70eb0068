// Intel AMX in the terms of a product: eight registers, each a tile of 16 rows of 64 bytes, and an
// instructions that multiply two tiles of bf16 or of bytes. Micro-kernels of 32 x 32 sums on top.
//
// TDPBF16PS adds to c[m][n] (f32) one sum over 32 consecutive r: the products of even r in
// ascending order, those of odd r the same, then the two together; each addition is rounded to
// nearest even, and subnormals are taken and left as 0.
#pragma once

#include "ashlar/kernels/vec.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

inline constexpr int64_t kAmxRows = 16;   // of a tile
inline constexpr int64_t kAmxBytes = 64;  // of a row: 16 f32 or 32 bf16
inline constexpr int64_t kAmxStep = 32;   // elements of r an instruction sums
inline constexpr int64_t kAmxTile = kAmxRows * kAmxBytes;
inline constexpr int64_t kAmxSquare = 2 * kAmxRows;  // rows and columns of a micro-kernel
// What one step needs of a plane of B: 16 rows of two tiles side by side.
inline constexpr int64_t kAmxPair = 2 * kAmxTile;

// Tiles 0-3 hold sums and 4, 5 A, of `rows` rows; 6 and 7 hold B. Until release() the thread keeps
// 8 KB more across context switches.
ASHLAR_INLINE void amx_configure(int64_t rows) {
  struct alignas(64) Config {
    uint8_t palette = 1, start_row = 0, reserved[14] = {};
    uint16_t bytes[16] = {64, 64, 64, 64, 64, 64, 64, 64};
    uint8_t rows[16] = {};
  };
  Config config;
  for (int tile = 0; tile < 8; ++tile)
    config.rows[tile] = static_cast<uint8_t>(tile < 6 ? rows : kAmxRows);
  asm volatile("ldtilecfg %0" ::"m"(config));
}
ASHLAR_INLINE void amx_release() { asm volatile("tilerelease" ::: "memory"); }

// The compiler's own intrinsics do not say that they read memory.
template <int kTile>
ASHLAR_INLINE void amx_zero() {
  asm volatile("tilezero %%tmm%c0" ::"i"(kTile));
}
template <int kTile>
ASHLAR_INLINE void amx_load(const void* from, int64_t stride) {
  asm volatile("tileloadd (%0,%1,1), %%tmm%c2" ::"r"(from), "r"(stride), "i"(kTile) : "memory");
}
template <int kTile>
ASHLAR_INLINE void amx_store(void* to, int64_t stride) {
  asm volatile("tilestored %%tmm%c2, (%0,%1,1)" ::"r"(to), "r"(stride), "i"(kTile) : "memory");
}
template <int kC, int kA, int kB>
ASHLAR_INLINE void amx_multiply() {
  asm volatile("tdpbf16ps %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
}

// Sums (int32) of four signed bytes of A by four of B, signed or not: exact.
template <int kC, int kA, int kB, bool kSigned>
ASHLAR_INLINE void amx_multiply_bytes() {
  if constexpr (kSigned) {
    asm volatile("tdpbssd %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
  } else {
    asm volatile("tdpbsud %%tmm%c2, %%tmm%c1, %%tmm%c0" ::"i"(kC), "i"(kA), "i"(kB));
  }
}

// Tiles 0-3: sums, upper rows first. 4, 5: A, upper and lower. 6, 7: B, left and right. The four
// products with a new pair of tiles of A, of B, or of both. A tile is loaded right
// before it is used first: the processor multiplies meanwhile what the last pair left to do.
template <bool kLower>
ASHLAR_INLINE void amx_next_a(const std::byte* a) {
  amx_load<4>(a, kAmxBytes);
  amx_multiply<0, 4, 6>();
  amx_multiply<1, 4, 7>();
  if (!kLower) return;
  amx_load<5>(a + kAmxTile, kAmxBytes);
  amx_multiply<2, 5, 6>();
  amx_multiply<3, 5, 7>();
}
template <bool kLower>
ASHLAR_INLINE void amx_next_b(const std::byte* b) {
  amx_load<6>(b, 2 * kAmxBytes);
  amx_multiply<0, 4, 6>();
  if (kLower) amx_multiply<2, 5, 6>();
  amx_load<7>(b + kAmxBytes, 2 * kAmxBytes);
  amx_multiply<1, 4, 7>();
  if (kLower) amx_multiply<3, 5, 7>();
}
template <bool kLower>
ASHLAR_INLINE void amx_next_both(const std::byte* a, const std::byte* b) {
  amx_load<6>(b, 2 * kAmxBytes);
  amx_load<4>(a, kAmxBytes);
  amx_multiply<0, 4, 6>();
  amx_load<7>(b + kAmxBytes, 2 * kAmxBytes);
  amx_multiply<1, 4, 7>();
  if (!kLower) return;
  amx_load<5>(a + kAmxTile, kAmxBytes);
  amx_multiply<2, 5, 6>();
  amx_multiply<3, 5, 7>();
}

// One step of r of operands in planes (planes.h): the products of planes i and j with i + j <
// 3, the largest last.
template <bool kLower, int kA, int kB>
ASHLAR_INLINE void amx_step(const std::byte* a, int64_t a_plane, const std::byte* b) {
  const std::byte *a1 = a + a_plane, *a2 = a + 2 * a_plane;
  const std::byte *b1 = b + kAmxPair, *b2 = b + 2 * kAmxPair;
  if constexpr (kA == 1 && kB == 1) {
    amx_next_both<kLower>(a, b);
  } else if constexpr (kB == 1) {
    amx_next_both<kLower>(a2, b);
    amx_next_a<kLower>(a1), amx_next_a<kLower>(a);
  } else if constexpr (kA == 1) {
    amx_next_both<kLower>(a, b1);
    amx_next_b<kLower>(b2), amx_next_b<kLower>(b);
  } else {
    amx_next_both<kLower>(a2, b);
    amx_next_a<kLower>(a1), amx_next_b<kLower>(b1);
    amx_next_a<kLower>(a), amx_next_b<kLower>(b2), amx_next_b<kLower>(b);
  }
}

// What will be read later on, `bytes` (a multiple of 64) for each step from `from` on, to be
// fetched into the L2 cache: the processor does not foresee what tiles will be loaded from.
struct AmxAhead {
  const std::byte* from = nullptr;
  int64_t bytes = 0;
};

// sums[i * stride + j] of 32 rows (those of one tile, if not kLower) and 32 columns = or += the
// products over `steps` steps. A step is kA planes of A, of a_plane bytes, and kB of B.
template <bool kLower, int kA, int kB>
static void amx_square(int64_t steps, const std::byte* a, int64_t a_plane, const std::byte* b,
                       float* sums, int64_t stride, bool add, AmxAhead ahead) {
  constexpr int64_t kFloat = sizeof(float);
  float* right = sums + kAmxRows;
  float* lower = sums + kAmxRows * stride;
  if (add) {
    amx_load<0>(sums, stride * kFloat), amx_load<1>(right, stride * kFloat);
    if (kLower) {
      amx_load<2>(lower, stride * kFloat), amx_load<3>(lower + kAmxRows, stride * kFloat);
    }
  } else {
    amx_zero<0>(), amx_zero<1>(), amx_zero<2>(), amx_zero<3>();
  }
  for (int64_t s = 0; s < steps; ++s, a += kA * a_plane, b += kB * kAmxPair) {
    for (int64_t line = 0; line < ahead.bytes; line += 64, ahead.from += 64) {
      __builtin_prefetch(ahead.from, 0, 2);
    }
    amx_step<kLower, kA, kB>(a, a_plane, b);
  }
  amx_store<0>(sums, stride * kFloat), amx_store<1>(right, stride * kFloat);
  if (kLower) {
    amx_store<2>(lower, stride * kFloat), amx_store<3>(lower + kAmxRows, stride * kFloat);
  }
}

using AmxSquare = void (*)(int64_t steps, const std::byte* a, int64_t a_plane, const std::byte* b,
                           float* sums, int64_t stride, bool add, AmxAhead ahead);
template <bool kLower>
ASHLAR_INLINE AmxSquare pick_amx_square(int a_planes, int b_planes) {
  if (a_planes == 3) {
    return b_planes == 3 ? &amx_square<kLower, 3, 3> : &amx_square<kLower, 3, 1>;
  }
  return b_planes == 3 ? &amx_square<kLower, 1, 3> : &amx_square<kLower, 1, 1>;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
