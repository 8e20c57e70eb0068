// Micro-kernels of gemm: a tile of up to kTileRows x kTileVecs * 16 elements held in registers
// while one block of kGemmBlock elements of r streams by from packed panels of A and B.
//
// Tiles fill the registers: avx512 14 x 32 (28 sums, 2 of B, one broadcast of A), avx2 6 x 16.
//
// Arithmetic is the contract of args.h. Each element is one chain over ascending r:
//   kF32      B packed as f32: acc = fma(a, b, acc)
//   kWiden    B packed as pairs of bf16, widened in registers: the same bits as kF32
//   kHalf     B packed as f16, widened as it is loaded: the same bits as kF32
//   kDot      A and B as pairs of bf16, VDPBF16PS (avx512bf16 only): acc += a[r+1] b[r+1], then
//             acc += a[r] b[r], each sum rounded to nearest even and subnormals taken and left as
//             0; an odd last r is paired with zeros.
// The block's sum is then stored, or added to the sums of the blocks before it.
#pragma once

#include "ashlar/kernels/vec.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

enum class Inner : uint8_t { kF32, kWiden, kHalf, kDot };

#if defined(__AVX512F__) || defined(ASHLAR_AVX512_ON_AVX2)
inline constexpr int kTileRows = 14;
inline constexpr int kTileVecs = 2;
inline constexpr int kUnroll = 4;  // steps of r a turn of the inner loop
#elif defined(__AVX2__)
inline constexpr int kTileRows = 6;
inline constexpr int kTileVecs = 1;
inline constexpr int kUnroll = 4;
#else
inline constexpr int kTileRows = 4;
inline constexpr int kTileVecs = 1;
inline constexpr int kUnroll = 1;
#endif
inline constexpr int kTileCols = kTileVecs * kLanes;  // width of a packed panel of B
inline constexpr int kAhead = 16;                     // steps of r that B is fetched ahead, from L2
inline constexpr int kLineFloats = 16;                // of a cache line

#if defined(__AVX512BF16__)
inline constexpr bool kHasDot = true;
ASHLAR_INLINE Vec dot_pairs(Vec acc, Vec a, Vec b) {
#if defined(__clang__)
  asm("" : "+v"(a.v));  // clang 16 crashes on a broadcast that is read as pairs of bf16
#endif
  return {
      _mm512_dpbf16_ps(acc.v, reinterpret_cast<__m512bh>(a.v), reinterpret_cast<__m512bh>(b.v))};
}
#else
inline constexpr bool kHasDot = false;
ASHLAR_INLINE Vec dot_pairs(Vec acc, Vec, Vec) { return acc; }
#endif

// out[i * stride + j] = or += the tile's sums over r elements of the panels a (width kRows) and b
// (width kTileCols, of which the first kVecs * 16 columns are computed).
using Tile = void (*)(int64_t r, const float* a, const float* b, float* out, int64_t stride,
                      bool add);

// 16 of B, as f32 where it is packed as halves; pairs as they are.
template <Inner kInner>
ASHLAR_INLINE Vec load_packed(const float* b, int lane) {
  if constexpr (kInner == Inner::kHalf) {
    return load(reinterpret_cast<const f16*>(b) + lane);
  } else {
    return load(b + lane);
  }
}

// out[i * stride + j * 16] = or += acc[i][j].
template <int kRows, int kVecs>
ASHLAR_INLINE void store_sums(const Vec (&acc)[kRows][kVecs], float* out, int64_t stride,
                              bool add) {
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kVecs; ++j) {
      float* to = out + i * stride + j * kLanes;
      store(to, add ? load(to) + acc[i][j] : acc[i][j]);
    }
  }
}

// f.template operator()<kInner>() for the one that is asked for.
template <typename F>
ASHLAR_INLINE auto with_inner(Inner inner, F f) {
  if (inner == Inner::kF32) return f.template operator()<Inner::kF32>();
  if (inner == Inner::kHalf) return f.template operator()<Inner::kHalf>();
  if constexpr (kHasDot) {
    if (inner == Inner::kDot) return f.template operator()<Inner::kDot>();
  }
  return f.template operator()<Inner::kWiden>();
}

// One step of r: or two where B holds pairs and A does not.
template <Inner kInner, int kRows, int kVecs>
ASHLAR_INLINE void tile_step(Vec (&acc)[kRows][kVecs], const float* a, const float* b) {
  Vec b0[kVecs];
#pragma GCC unroll 4
  for (int j = 0; j < kVecs; ++j) b0[j] = load_packed<kInner>(b, j * kLanes);
  if constexpr (kInner == Inner::kWiden) {
    Vec b1[kVecs];
#pragma GCC unroll 4
    for (int j = 0; j < kVecs; ++j) {
      b1[j] = as_floats(as_ints(b0[j]) & ints(static_cast<int32_t>(0xffff0000u)));
      b0[j] = as_floats(shift_left<16>(as_ints(b0[j])));
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Vec a0 = broadcast(a[i]);
#pragma GCC unroll 4
      for (int j = 0; j < kVecs; ++j) acc[i][j] = fma(a0, b0[j], acc[i][j]);
    }
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Vec a1 = broadcast(a[kRows + i]);
#pragma GCC unroll 4
      for (int j = 0; j < kVecs; ++j) acc[i][j] = fma(a1, b1[j], acc[i][j]);
    }
  } else {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Vec a0 = broadcast(a[i]);
#pragma GCC unroll 4
      for (int j = 0; j < kVecs; ++j) {
        acc[i][j] =
            kInner == Inner::kDot ? dot_pairs(acc[i][j], a0, b0[j]) : fma(a0, b0[j], acc[i][j]);
      }
    }
  }
}

template <Inner kInner, int kRows, int kVecs>
static void tile(int64_t r, const float* a, const float* b, float* out, int64_t stride, bool add) {
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) prefetch(out + i * stride);
  Vec acc[kRows][kVecs];
#pragma GCC unroll 16
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 4
    for (int j = 0; j < kVecs; ++j) acc[i][j] = zero();
  }
  constexpr int kStepR = kInner == Inner::kWiden ? 2 : 1;
  constexpr int kStepA = kInner == Inner::kWiden ? 2 * kRows : kRows;
  constexpr int kStepB = kInner == Inner::kHalf ? kTileCols / 2 : kTileCols;
  const int64_t steps = kInner == Inner::kDot ? (r + 1) / 2 : r / kStepR;
  int64_t s = 0;
  for (; s + kUnroll <= steps; s += kUnroll) {
#pragma GCC unroll 16
    for (int line = 0; line < kUnroll * kStepB; line += kLineFloats) {
      prefetch(b + kAhead * kStepB + line);
    }
#pragma GCC unroll 8
    for (int k = 0; k < kUnroll; ++k) tile_step<kInner>(acc, a + k * kStepA, b + k * kStepB);
    a += kUnroll * kStepA;
    b += kUnroll * kStepB;
  }
#pragma GCC unroll 1
  for (; s < steps; ++s) {
    tile_step<kInner>(acc, a, b);
    a += kStepA;
    b += kStepB;
  }
  if (kInner == Inner::kWiden && (r & 1) != 0) {
#pragma GCC unroll 16
    for (int i = 0; i < kRows; ++i) {
      const Vec a0 = broadcast(a[i]);
#pragma GCC unroll 4
      for (int j = 0; j < kVecs; ++j) {
        const Vec b0 = as_floats(shift_left<16>(as_ints(load(b + j * kLanes))));
        acc[i][j] = fma(a0, b0, acc[i][j]);
      }
    }
  }
  store_sums(acc, out, stride, add);
}

// The micro-kernel of a tile with rows in [1, kTileRows] and vecs in [1, kTileVecs].
template <Inner kInner, int kRows>
ASHLAR_INLINE Tile pick_tile_rows(int vecs) {
  if (kTileVecs > 1 && vecs == 1) return &tile<kInner, kRows, 1>;
  return &tile<kInner, kRows, kTileVecs>;
}
template <Inner kInner, int kRows = kTileRows>
ASHLAR_INLINE Tile pick_tile(int64_t rows, int vecs) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return pick_tile<kInner, kRows - 1>(rows, vecs);
  }
  return pick_tile_rows<kInner, kRows>(vecs);
}
static inline Tile pick_tile(Inner inner, int64_t rows, int vecs) {
  return with_inner(inner, [&]<Inner kInner>() { return pick_tile<kInner>(rows, vecs); });
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
