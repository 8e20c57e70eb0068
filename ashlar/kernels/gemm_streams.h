// Micro-kernels of gemm for few rows and a packed B: up to kStreamRows rows by several panels of B
// side by side, each read from front to back. A core's prefetchers follow each stream only so far
// ahead, so one stream alone leaves half of the memory's bandwidth unused. The arithmetic is that
// of gemm_tile.h: the same bits.
#pragma once

#include "ashlar/kernels/gemm_tile.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

#if defined(__AVX512F__) || defined(ASHLAR_AVX512_ON_AVX2)
inline constexpr int kStreamRows = 7;
constexpr int streams_of(int64_t rows) { return rows <= 3 ? 4 : 2; }
#elif defined(__AVX2__)
inline constexpr int kStreamRows = 6;
constexpr int streams_of(int64_t rows) { return rows == 1 ? 4 : rows <= 3 ? 2 : 1; }
#else
inline constexpr int kStreamRows = 4;
constexpr int streams_of(int64_t) { return 1; }
#endif

// out[i * stride + j] = or += the sums over r elements of `rows` rows of a panel of A, which is
// a_width wide, and of panels of B that lie `panel` floats apart.
using StreamTile = void (*)(int64_t r, const float* a, int64_t a_width, const float* b,
                            int64_t panel, float* out, int64_t stride, bool add);

// One step of r, or two where B holds pairs and A does not (kOdd: the last one has no second).
template <Inner kInner, bool kOdd, int kRows, int kVecs>
ASHLAR_INLINE void stream_step(Vec (&acc)[kRows][kVecs], const float* a, int64_t a_width,
                               const float* b, int64_t panel) {
#pragma GCC unroll 8
  for (int j = 0; j < kVecs; ++j) {
    const float* from = b + j / kTileVecs * panel;
    const int lane = j % kTileVecs * kLanes;
    if constexpr (kInner == Inner::kWiden) {
      const Ints pairs = as_ints(load(from + lane));
      const Vec first = as_floats(shift_left<16>(pairs));
      const Vec second = as_floats(pairs & ints(static_cast<int32_t>(0xffff0000u)));
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        acc[i][j] = fma(broadcast(a[i]), first, acc[i][j]);
        if (!kOdd) acc[i][j] = fma(broadcast(a[a_width + i]), second, acc[i][j]);
      }
    } else {
      const Vec weights = load_packed<kInner>(from, lane);
#pragma GCC unroll 8
      for (int i = 0; i < kRows; ++i) {
        const Vec x = broadcast(a[i]);
        acc[i][j] =
            kInner == Inner::kDot ? dot_pairs(acc[i][j], x, weights) : fma(x, weights, acc[i][j]);
      }
    }
  }
}

template <Inner kInner, int kRows, int kPanels>
static void stream_tile(int64_t r, const float* a, int64_t a_width, const float* b, int64_t panel,
                        float* out, int64_t stride, bool add) {
  constexpr int kVecs = kPanels * kTileVecs;
  Vec acc[kRows][kVecs];
#pragma GCC unroll 8
  for (int i = 0; i < kRows; ++i) {
#pragma GCC unroll 8
    for (int j = 0; j < kVecs; ++j) acc[i][j] = zero();
  }
  constexpr int kStepR = kInner == Inner::kWiden ? 2 : 1;
  constexpr int64_t kStepB = kInner == Inner::kHalf ? kTileCols / 2 : kTileCols;
  const int64_t steps = kInner == Inner::kDot ? (r + 1) / 2 : r / kStepR;
#pragma GCC unroll 2
  for (int64_t s = 0; s < steps; ++s) {
    stream_step<kInner, false>(acc, a, a_width, b, panel);
    a += kStepR * a_width;
    b += kStepB;
  }
  if (kInner == Inner::kWiden && (r & 1) != 0) {
    stream_step<kInner, true>(acc, a, a_width, b, panel);
  }
  store_sums(acc, out, stride, add);
}

// rows in [1, kStreamRows], panels in {1, 2, 4}, at most streams_of(rows).
template <Inner kInner, int kRows = kStreamRows>
ASHLAR_INLINE StreamTile pick_stream_tile(int64_t rows, int panels) {
  if constexpr (kRows > 1) {
    if (rows < kRows) return pick_stream_tile<kInner, kRows - 1>(rows, panels);
  }
  constexpr int kMost = streams_of(kRows);
  if constexpr (kMost >= 4) {
    if (panels == 4) return &stream_tile<kInner, kRows, 4>;
  }
  if constexpr (kMost >= 2) {
    if (panels == 2) return &stream_tile<kInner, kRows, 2>;
  }
  return &stream_tile<kInner, kRows, 1>;
}
static inline StreamTile pick_stream_tile(Inner inner, int64_t rows, int panels) {
  return with_inner(inner, [&]<Inner kInner>() { return pick_stream_tile<kInner>(rows, panels); });
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
