// The three products of attention on tiles that lie in cache, f32, register-tiled. Every element is
// one fma chain in ascending order of the reduced index; which rows share a register tile does not
// change it.
#pragma once

#include "ashlar/kernels/args.h"
#include "ashlar/kernels/vec.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// A register tile is kTileRows x kTileVecs accumulators, a row of kTileVecs vectors and a
// broadcast.
#if defined(__AVX512F__)
inline constexpr int kTileRows = 6, kTileVecs = 4;  // 29 of 32 registers
#elif defined(__AVX2__)
inline constexpr int kTileRows = 6, kTileVecs = 1;  // 15 of 16, two a vector
#else
inline constexpr int kTileRows = 2, kTileVecs = 1;
#endif

// A key block is 4 slabs of 16 keys, so that a slab is what a cache block holds.
inline constexpr int kSlab = 16;
inline constexpr int kSlabs = kKeyBlock / kSlab;
static_assert(kSlab == kCacheBlock && kSlab == kLanes);

ASHLAR_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
ASHLAR_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
ASHLAR_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
ASHLAR_INLINE int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Calls F<rows, vecs>::run(args...) for rows in 1..kTileRows and vecs in 1..kTileVecs.
template <template <int, int> typename F, int kRows, typename... Args>
ASHLAR_INLINE void dispatch_vecs(int64_t vecs, const Args&... args) {
  if constexpr (kTileVecs == 1) {
    F<kRows, 1>::run(args...);
  } else {
    switch (vecs) {
      case 1:
        return F<kRows, 1>::run(args...);
      case 2:
        return F<kRows, 2>::run(args...);
      case 3:
        return F<kRows, 3>::run(args...);
      default:
        return F<kRows, kTileVecs>::run(args...);
    }
  }
}
template <template <int, int> typename F, typename... Args>
ASHLAR_INLINE void dispatch(int64_t rows, int64_t vecs, const Args&... args) {
  if constexpr (kTileRows == 2) {
    return rows == 1 ? dispatch_vecs<F, 1>(vecs, args...) : dispatch_vecs<F, 2>(vecs, args...);
  } else {
    switch (rows) {
      case 1:
        return dispatch_vecs<F, 1>(vecs, args...);
      case 2:
        return dispatch_vecs<F, 2>(vecs, args...);
      case 3:
        return dispatch_vecs<F, 3>(vecs, args...);
      case 4:
        return dispatch_vecs<F, 4>(vecs, args...);
      case 5:
        return dispatch_vecs<F, 5>(vecs, args...);
      default:
        return dispatch_vecs<F, kTileRows>(vecs, args...);
    }
  }
}

// acc[r][n] += sum over i < count of a[r * a_row + i * a_step] * b[n][i * b_step ...].
template <int kRows, int kVecs>
ASHLAR_INLINE void accumulate(Vec (&acc)[kRows][kVecs], const float* a, int64_t a_row,
                              int64_t a_step, const float* const (&b)[kVecs], int64_t b_step,
                              int64_t count) {
  const float* b_at[kVecs];
  for (int n = 0; n < kVecs; ++n) b_at[n] = b[n];
  for (int64_t i = 0; i < count; ++i) {
    Vec row[kVecs];
#pragma GCC unroll 4
    for (int n = 0; n < kVecs; ++n) {
      row[n] = load(b_at[n]);
      b_at[n] += b_step;
    }
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const Vec x = broadcast(a[r * a_row]);
#pragma GCC unroll 4
      for (int n = 0; n < kVecs; ++n) acc[r][n] = fma(x, row[n], acc[r][n]);
    }
    a += a_step;
  }
}

// scores[r][key] = sum over d of a[r][d] b[key][d]; slabs are [D][16], rows of scores are kKeyBlock
// apart.
struct ScoreArgs {
  const float* a;  // [rows] a_stride apart
  int64_t a_stride;
  int64_t head_dim;
  const float* const* slabs;
  float* scores;
};
template <int kRows, int kVecs>
struct ScoreTile {
  static __attribute__((noinline)) void run(const ScoreArgs& args) {
    Vec acc[kRows][kVecs];
    const float* b[kVecs];
#pragma GCC unroll 4
    for (int n = 0; n < kVecs; ++n) {
      b[n] = args.slabs[n];
#pragma GCC unroll 6
      for (int r = 0; r < kRows; ++r) acc[r][n] = zero();
    }
    accumulate(acc, args.a, args.a_stride, 1, b, kSlab, args.head_dim);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int n = 0; n < kVecs; ++n) store(args.scores + r * kKeyBlock + n * kLanes, acc[r][n]);
    }
  }
};

// Scores of `rows` <= kTileRows rows against slabs [slab_begin, slab_end).
ASHLAR_INLINE void score_rows(int64_t rows, ScoreArgs args, int64_t slab_begin, int64_t slab_end) {
  const float* const* slabs = args.slabs;
  float* scores = args.scores;
  for (int64_t slab = slab_begin; slab < slab_end; slab += kTileVecs) {
    args.slabs = slabs + slab;
    args.scores = scores + slab * kSlab;
    dispatch<ScoreTile>(rows, smaller(kTileVecs, slab_end - slab), args);
  }
}

// c[r][:] = c[r][:] * scale[r] + sum over keys in [key_begin, key_end) of p[r][key] v[key][:],
// where v[key] is row key % 16 of slab key / 16.
struct WeighArgs {
  const float* p;      // [rows][kKeyBlock]
  const float* scale;  // [rows]
  const float* const* slabs;
  int64_t slab_stride;  // between keys
  int64_t key_begin, key_end;
  float* c;
  int64_t c_stride;
  int64_t column;
};
template <int kRows, int kVecs>
struct WeighTile {
  static __attribute__((noinline)) void run(const WeighArgs& args) {
    Vec acc[kRows][kVecs];
    float* c = args.c + args.column;
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
      const Vec scale = broadcast(args.scale[r]);
#pragma GCC unroll 4
      for (int n = 0; n < kVecs; ++n) {
        acc[r][n] = load(c + r * args.c_stride + n * kLanes) * scale;
      }
    }
    for (int64_t key = args.key_begin; key < args.key_end;) {
      const int64_t slab = key / kSlab;
      const int64_t end = smaller(args.key_end, (slab + 1) * kSlab);
      const float* v = args.slabs[slab] + (key - slab * kSlab) * args.slab_stride + args.column;
      const float* b[kVecs];
      for (int n = 0; n < kVecs; ++n) b[n] = v + n * kLanes;
      accumulate(acc, args.p + key, kKeyBlock, 1, b, args.slab_stride, end - key);
      key = end;
    }
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int n = 0; n < kVecs; ++n) store(c + r * args.c_stride + n * kLanes, acc[r][n]);
    }
  }
};

// c[key][:] += sum over r < count of p[r][key] x[r][:], for kRows keys.
struct GatherArgs {
  const float* p;  // [count][kKeyBlock]
  const float* x;  // [count] x_stride apart
  int64_t count;
  int64_t x_stride;
  float* c;  // [keys] x_stride apart
  int64_t column;
};
template <int kRows, int kVecs>
struct GatherTile {
  static __attribute__((noinline)) void run(const GatherArgs& args) {
    Vec acc[kRows][kVecs];
    float* c = args.c + args.column;
    const float* b[kVecs];
#pragma GCC unroll 4
    for (int n = 0; n < kVecs; ++n) {
      b[n] = args.x + args.column + n * kLanes;
#pragma GCC unroll 6
      for (int r = 0; r < kRows; ++r) acc[r][n] = load(c + r * args.x_stride + n * kLanes);
    }
    accumulate(acc, args.p, 1, kKeyBlock, b, args.x_stride, args.count);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int n = 0; n < kVecs; ++n) store(c + r * args.x_stride + n * kLanes, acc[r][n]);
    }
  }
};

// Runs F over the columns [0, width), width a multiple of kLanes, in register tiles of even width.
template <template <int, int> typename F, typename Args>
ASHLAR_INLINE void for_columns(int64_t rows, int64_t width, Args args) {
  const int64_t vecs = width / kLanes;
  const int64_t step = ceil_div(vecs, ceil_div(vecs, kTileVecs));
  for (int64_t n = 0; n < vecs; n += step) {
    args.column = n * kLanes;
    dispatch<F>(rows, smaller(step, vecs - n), args);
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
