// Operands of AMX: matrices as planes of bf16. A bf16 element is one plane. An f32 is the sum of
// three, exactly: x rounded to 8 bits, what is left rounded to 8 bits, and what is left then
// (Henry, Tang, Heinecke, "Leveraging the bfloat16 artificial intelligence datatype for
// higher-precision computations", 2019). Exact where |x| >= 2^-109; below, planes become subnormal
// and count as 0.
//
// Packed, a step of 32 r of 32 lines is, plane by plane,
//   of A  two tiles [16 lines][32 r], the upper one first; one of as many lines as there are where
//         A has at most 16
//   of B  [16 pairs of r][32 lines][2]
// so that the planes of a step lie side by side and steps follow each other. Beyond the last line
// and r are zeros.
#pragma once

#include "ashlar/kernels/amx/tile.h"
#include "ashlar/kernels/extent.h"
#include "ashlar/kernels/pack.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

inline constexpr int kAmxMostPlanes = 3;
ASHLAR_INLINE int planes_of(DType dtype) { return dtype == DType::kF32 ? kAmxMostPlanes : 1; }

// planes[i] has bf16 in the upper halves of its lanes; the lower ones are to be ignored.
template <int kPlanes>
ASHLAR_INLINE void split(Vec x, Vec (&planes)[kPlanes]) {
  if constexpr (kPlanes == 1) {
    planes[0] = x;
  } else {
    // The largest f32 would round to infinity. A NaN stays (min and max return their second).
    const Vec most = broadcast(0x1.fep127f), least = broadcast(-0x1.fep127f);
    const auto rounded = [](Vec v) __attribute__((always_inline)) {
      return as_floats((as_ints(v) + ints(0x8000)) & ints(static_cast<int32_t>(0xffff0000u)));
    };
    planes[0] = rounded(max(least, min(most, x)));
    const Vec rest = x - planes[0];
    planes[1] = rounded(rest);
    planes[2] = rest - planes[1];
  }
}

// Units (pairs of r) of one plane: of 16 lines, from their elements at an even r and the next; of
// one line, from 32 consecutive elements.
ASHLAR_INLINE Vec pair_lines(Vec even, Vec odd) {
  return as_floats(shift_right<16>(as_ints(even)) |
                   (as_ints(odd) & ints(static_cast<int32_t>(0xffff0000u))));
}
ASHLAR_INLINE Vec pair_along_r(Vec low, Vec high) {
  // Word i of the result is the upper half of lane i.
  const __m512i upper =
      _mm512_set_epi16(63, 61, 59, 57, 55, 53, 51, 49, 47, 45, 43, 41, 39, 37, 35, 33, 31, 29, 27,
                       25, 23, 21, 19, 17, 15, 13, 11, 9, 7, 5, 3, 1);
  return {_mm512_castsi512_ps(_mm512_permutex2var_epi16(as_ints(low).v, upper, as_ints(high).v))};
}

// A square of 16 lines and 32 r: where it begins, and how much of it there is.
template <typename T>
struct Square {
  const T* from;
  int64_t line_stride, r_stride;
  int64_t lines, r;
};

// units[p][i]: the 16 units of line i (along r).
template <int kPlanes, typename T>
ASHLAR_INLINE void load_lines(const Square<T>& s, Vec (&units)[kPlanes][16]) {
  for (int i = 0; i < 16; ++i) {
    Vec low[kPlanes], high[kPlanes];
    if (i >= s.lines) {
      for (int p = 0; p < kPlanes; ++p) units[p][i] = zero();
      continue;
    }
    const T* from = s.from + i * s.line_stride;
    if (s.r == kAmxStep) {
      split(load(from), low);
      split(load(from + kLanes), high);
    } else {
      split(load(from, lesser(kLanes, s.r)), low);
      split(s.r > kLanes ? load(from + kLanes, s.r - kLanes) : zero(), high);
    }
#pragma GCC unroll 3
    for (int p = 0; p < kPlanes; ++p) units[p][i] = pair_along_r(low[p], high[p]);
  }
}

// units[p][u]: unit u of the 16 lines, which lie side by side.
template <int kPlanes, typename T>
ASHLAR_INLINE void load_side_by_side(const Square<T>& s, Vec (&units)[kPlanes][16]) {
  const auto row = [&](int64_t r) __attribute__((always_inline)) {
    const T* from = s.from + r * s.r_stride;
    return r >= s.r ? zero() : s.lines >= kLanes ? load(from) : load(from, s.lines);
  };
  for (int u = 0; u < 16; ++u) {
    Vec even[kPlanes], odd[kPlanes];
    split(row(2 * u), even);
    split(row(2 * u + 1), odd);
#pragma GCC unroll 3
    for (int p = 0; p < kPlanes; ++p) units[p][u] = pair_lines(even[p], odd[p]);
  }
}

// Lines of a matrix that is contiguous in neither direction.
template <typename T>
static Square<float> gathered(const Square<T>& s, float (&buffer)[16 * kAmxStep]) {
  for (int64_t i = 0; i < s.lines; ++i) {
    for (int64_t k = 0; k < s.r; ++k) {
      buffer[i * kAmxStep + k] = widen(s.from[i * s.line_stride + k * s.r_stride]);
    }
  }
  return {buffer, kAmxStep, 1, s.lines, s.r};
}

// Writes `rows` rows of 16 lines of a step, row_bytes apart: plane p at to + p * plane_bytes. Rows
// are lines (kRowsAreLines, as in A) or units (as in B).
template <bool kRowsAreLines, int kPlanes, typename T>
static void pack_square(const Square<T>& s, std::byte* to, int64_t plane_bytes, int64_t rows,
                        int64_t row_bytes) {
  Vec units[kPlanes][16];
  bool by_line = true;
  if (s.r_stride == 1) {
    load_lines<kPlanes>(s, units);
  } else if (s.line_stride == 1) {
    load_side_by_side<kPlanes>(s, units);
    by_line = false;
  } else {
    float buffer[16 * kAmxStep];
    load_lines<kPlanes>(gathered(s, buffer), units);
  }
  for (int p = 0; p < kPlanes; ++p) {
    if (by_line != kRowsAreLines) transpose<16>(units[p]);
    std::byte* row = to + p * plane_bytes;
    for (int64_t i = 0; i < rows; ++i, row += row_bytes)
      store(reinterpret_cast<float*>(row), units[p][i]);
  }
}

// Packs steps that begin at r in [r0, r1) of lines [line, end), at most 32. A has a_rows a tile:
// 16, or all of its rows if they are fewer.
template <bool kIsA, int kPlanes, typename T>
static void pack_planes_as(const Lines& from, const T* data, int64_t line, int64_t end, int64_t r0,
                           int64_t r1, int64_t a_rows, bool lower, std::byte* to) {
  const int64_t tile = kIsA ? a_rows * kAmxBytes : kAmxBytes;
  const int64_t plane = kIsA ? (lower ? 2 : 1) * tile : kAmxPair;
  for (int64_t r = r0; r < r1; r += kAmxStep, to += kPlanes * plane) {
    for (int half = 0; half < (kIsA && !lower ? 1 : 2); ++half) {
      const int64_t first = line + half * kAmxRows, lines = lesser(kAmxRows, end - first);
      Square<T> square = {data, from.line_stride, from.r_stride, greater_of(lines, 0),
                          lesser(kAmxStep, r1 - r)};
      if (lines > 0) square.from += first * from.line_stride + r * from.r_stride;
      pack_square<kIsA, kPlanes>(square, to + half * tile, plane, kIsA ? a_rows : kAmxRows,
                                 kIsA ? kAmxBytes : 2 * kAmxBytes);
    }
  }
}
template <bool kIsA>
static void pack_planes(const Lines& from, int64_t line, int64_t end, int64_t r0, int64_t r1,
                        int64_t a_rows, bool lower, std::byte* to) {
  if (from.dtype == DType::kF32) {
    pack_planes_as<kIsA, 3>(from, static_cast<const float*>(from.data), line, end, r0, r1, a_rows,
                            lower, to);
  } else {
    pack_planes_as<kIsA, 1>(from, static_cast<const bf16*>(from.data), line, end, r0, r1, a_rows,
                            lower, to);
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
