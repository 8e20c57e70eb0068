// The three products of attention on tiles that lie in cache, f32, register-tiled. Every element is
// one fma chain in ascending order of the reduced index; which rows share a register tile does not
// change it.
#pragma once

#include "ashlar/kernels/args.h"
#include "ashlar/kernels/vec.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// A register tile is up to kTileRows rows of accumulators, tile_vecs(rows) vectors wide, beside one
// row of b and a broadcast: 29 of AVX-512's 32 registers, at most 15 of AVX2's 16 (two a vector).
#if defined(__AVX512F__)
inline constexpr int kTileRows = 6;
constexpr int tile_vecs(int64_t) { return 4; }
#elif defined(__AVX2__)
inline constexpr int kTileRows = 6;
constexpr int tile_vecs(int64_t rows) { return rows == 1 ? 3 : rows == 2 ? 2 : 1; }
#else
inline constexpr int kTileRows = 2;
constexpr int tile_vecs(int64_t) { return 1; }
#endif

// A key block is 4 slabs of 16 keys, so that a slab is what a cache block holds.
inline constexpr int kSlab = 16;
inline constexpr int kSlabs = kKeyBlock / kSlab;
static_assert(kSlab == kCacheBlock && kSlab == kLanes);

ASHLAR_INLINE int64_t smaller(int64_t a, int64_t b) { return a < b ? a : b; }
ASHLAR_INLINE int64_t larger(int64_t a, int64_t b) { return a > b ? a : b; }
ASHLAR_INLINE int64_t ceil_div(int64_t a, int64_t b) { return (a + b - 1) / b; }
ASHLAR_INLINE int64_t round_up(int64_t a, int64_t b) { return ceil_div(a, b) * b; }

// Calls F::run<rows, vecs>(args) for rows in 1..kTileRows and vecs in 1..tile_vecs(rows).
template <typename F, int kRows, typename Args>
ASHLAR_INLINE void dispatch_vecs(int64_t vecs, const Args& args) {
  constexpr int kMost = tile_vecs(kRows);
  if constexpr (kMost > 1) {
    if (vecs == 1) return F::template run<kRows, 1>(args);
  }
  if constexpr (kMost > 2) {
    if (vecs == 2) return F::template run<kRows, 2>(args);
  }
  if constexpr (kMost > 3) {
    if (vecs == 3) return F::template run<kRows, 3>(args);
  }
  F::template run<kRows, kMost>(args);
}
template <typename F, typename Args>
ASHLAR_INLINE void dispatch(int64_t rows, int64_t vecs, const Args& args) {
  if constexpr (kTileRows == 2) {
    return rows == 1 ? dispatch_vecs<F, 1>(vecs, args) : dispatch_vecs<F, 2>(vecs, args);
  } else {
    switch (rows) {
      case 1:
        return dispatch_vecs<F, 1>(vecs, args);
      case 2:
        return dispatch_vecs<F, 2>(vecs, args);
      case 3:
        return dispatch_vecs<F, 3>(vecs, args);
      case 4:
        return dispatch_vecs<F, 4>(vecs, args);
      case 5:
        return dispatch_vecs<F, 5>(vecs, args);
      default:
        return dispatch_vecs<F, kTileRows>(vecs, args);
    }
  }
}

// acc[r][n] += sum over i < count of a[r * a_row + i * a_step] * b[n][i * b_step ...]. Where b is
// streamed from memory (kStream), the same byte offsets of ahead[n] are fetched: what comes next.
template <bool kStream, int kRows, int kVecs, typename T>
ASHLAR_INLINE void accumulate(Vec (&acc)[kRows][kVecs], const float* a, int64_t a_row,
                              int64_t a_step, const T* const (&b)[kVecs], int64_t b_step,
                              int64_t count, const T* const (&ahead)[kVecs]) {
  const T* b_at[kVecs];
  int64_t distance[kVecs];
  for (int n = 0; n < kVecs; ++n) {
    b_at[n] = b[n];
    distance[n] = reinterpret_cast<const char*>(ahead[n]) - reinterpret_cast<const char*>(b[n]);
  }
  for (int64_t i = 0; i < count; ++i) {
    Vec row[kVecs];
#pragma GCC unroll 4
    for (int n = 0; n < kVecs; ++n) {
      row[n] = load(b_at[n]);
      if constexpr (kStream) {
        __builtin_prefetch(reinterpret_cast<const char*>(b_at[n]) + distance[n], 0, 3);
      }
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
template <typename T>
struct ScoreArgs {
  const float* a;  // [rows] a_stride apart
  int64_t a_stride;
  int64_t head_dim;
  const T* const* slabs;
  const T* const* ahead;  // kStream: the values of the same slabs
  float* scores;
};
template <typename T, bool kStream>
struct Score {
  template <int kRows, int kVecs>
  static __attribute__((noinline)) void run(const ScoreArgs<T>& args) {
    Vec acc[kRows][kVecs];
    const T* b[kVecs];
    const T* ahead[kVecs];
#pragma GCC unroll 4
    for (int n = 0; n < kVecs; ++n) {
      b[n] = args.slabs[n];
      ahead[n] = kStream ? args.ahead[n] : b[n];
#pragma GCC unroll 6
      for (int r = 0; r < kRows; ++r) acc[r][n] = zero();
    }
    accumulate<kStream>(acc, args.a, args.a_stride, 1, b, kSlab, args.head_dim, ahead);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int n = 0; n < kVecs; ++n) store(args.scores + r * kKeyBlock + n * kLanes, acc[r][n]);
    }
  }
};

// Scores of `rows` <= kTileRows rows against slabs [slab_begin, slab_end).
template <bool kStream = false, typename T>
ASHLAR_INLINE void score_rows(int64_t rows, ScoreArgs<T> args, int64_t slab_begin,
                              int64_t slab_end) {
  const ScoreArgs<T> all = args;
  const int64_t step = tile_vecs(rows);
  for (int64_t slab = slab_begin; slab < slab_end; slab += step) {
    args.slabs = all.slabs + slab;
    if (kStream) args.ahead = all.ahead + slab;
    args.scores = all.scores + slab * kSlab;
    dispatch<Score<T, kStream>>(rows, smaller(step, slab_end - slab), args);
  }
}

// c[r][:] = c[r][:] * scale[r] + sum over keys in [key_begin, key_end) of p[r][key] v[key][:],
// where v[key] is row key % 16 of slab key / 16.
template <typename T>
struct WeighArgs {
  const float* p;      // [rows][kKeyBlock]
  const float* scale;  // [rows]
  const T* const* slabs;
  const T* const* ahead;  // kStream: the same slabs of the keys that come next
  int64_t slab_stride;    // between keys
  int64_t key_begin, key_end;
  float* c;
  int64_t c_stride;
  int64_t column;
};
template <typename T, bool kStream>
struct Weigh {
  template <int kRows, int kVecs>
  static __attribute__((noinline)) void run(const WeighArgs<T>& args) {
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
      const int64_t offset = (key - slab * kSlab) * args.slab_stride + args.column;
      const T* b[kVecs];
      const T* ahead[kVecs];
      for (int n = 0; n < kVecs; ++n) {
        b[n] = args.slabs[slab] + offset + n * kLanes;
        ahead[n] = kStream ? args.ahead[slab] + offset + n * kLanes : b[n];
      }
      accumulate<kStream>(acc, args.p + key, kKeyBlock, 1, b, args.slab_stride, end - key, ahead);
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
struct Gather {
  template <int kRows, int kVecs>
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
    accumulate<false>(acc, args.p, 1, kKeyBlock, b, args.x_stride, args.count, b);
#pragma GCC unroll 6
    for (int r = 0; r < kRows; ++r) {
#pragma GCC unroll 4
      for (int n = 0; n < kVecs; ++n) store(c + r * args.x_stride + n * kLanes, acc[r][n]);
    }
  }
};

// Runs F over the columns [0, width), width a multiple of kLanes, in register tiles of even width.
template <typename F, typename Args>
ASHLAR_INLINE void for_columns(int64_t rows, int64_t width, Args args) {
  const int64_t vecs = width / kLanes;
  const int64_t step = ceil_div(vecs, ceil_div(vecs, tile_vecs(rows)));
  for (int64_t n = 0; n < vecs; n += step) {
    args.column = n * kLanes;
    dispatch<F>(rows, smaller(step, vecs - n), args);
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
