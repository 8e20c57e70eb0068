// Micro-kernels of 32 x 32 sums on AMX: tiles in its registers or, where a tier is compiled without
// AMX (amx-on-avx512), in memory.
#pragma once

#if defined(__AMX_TILE__)
#include "ashlar/kernels/amx/tile_registers.h"
#else
#include "ashlar/kernels/amx/tile_memory.h"
#endif

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

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
