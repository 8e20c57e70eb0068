// Packing: a panel of `width` lines (rows of A, columns of B) is written as
//   panel[u * width + line], u ascending in r,
// in units of 32 bits: one f32, or a pair of bf16 (r, r + 1; the last one is padded with 0). The
// micro-kernels read a panel from front to back. Lines beyond `count` are zero.
#pragma once

#include "ashlar/kernels/args.h"
#include "ashlar/kernels/pack_transpose.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

enum class Unit : uint8_t { kF32, kPair };

ASHLAR_INLINE int64_t units_of(Unit unit, int64_t r) {
  return unit == Unit::kF32 ? r : (r + 1) / 2;
}

// One operand of a product, seen as lines along the reduction dimension.
struct Lines {
  const void* data;
  DType dtype;
  int64_t line_stride, r_stride;
};

ASHLAR_INLINE Vec load_bits(const void* p) {
#if defined(__AVX2__)
  return load(static_cast<const float*>(p));
#else
  Vec v;
  std::memcpy(&v, p, sizeof(v));
  return v;
#endif
}

// Sources of units. along_r: 16 units of one line, r contiguous, r_left > 0 elements remain.
// along_lines: one unit of `count` lines, lines contiguous.
template <typename T>
struct F32Units {
  static constexpr int64_t kR = 1;  // elements of r a unit holds
  ASHLAR_INLINE Vec along_r(const T* p, int64_t r_left) {
    return r_left >= kLanes ? load(p) : load(p, r_left);
  }
  ASHLAR_INLINE Vec along_lines(const T* p, int64_t, int64_t, int64_t count) {
    return count == kLanes ? load(p) : load(p, count);
  }
  ASHLAR_INLINE float one(const T* p, int64_t, int64_t) { return widen(*p); }
};

template <typename T>
struct PairUnits {
  static constexpr int64_t kR = 2;
  ASHLAR_INLINE Vec along_r(const T* p, int64_t r_left) {
    if constexpr (sizeof(T) == 2) {
      if (r_left >= 2 * kLanes) return load_bits(p);
    }
    bf16 rounded[2 * kLanes] = {};
    for (int64_t i = 0; i < 2 * kLanes && i < r_left; ++i) narrow(widen(p[i]), rounded + i);
    return load_bits(rounded);
  }
  ASHLAR_INLINE Vec along_lines(const T* p, int64_t r_stride, int64_t r_left, int64_t count) {
    const Ints low = shift_right<16>(as_ints(rounded(p, count)));
    if (r_left == 1) return as_floats(low);
    return as_floats(low | as_ints(rounded(p + r_stride, count)));
  }
  ASHLAR_INLINE float one(const T* p, int64_t r_stride, int64_t r_left) {
    bf16 pair[2] = {};
    narrow(widen(*p), pair);
    if (r_left > 1) narrow(widen(p[r_stride]), pair + 1);
    return __builtin_bit_cast(float, pair);
  }

 private:
  // bf16 values in the upper halves of the lanes, zeros below.
  ASHLAR_INLINE Vec rounded(const T* p, int64_t count) {
    const Vec v = count == kLanes ? load(p) : load(p, count);
    if constexpr (sizeof(T) == 2) return v;
    bf16 buffer[kLanes];
    store(buffer, v);
    return load(buffer);
  }
};

// Stores `width` <= 16 lanes. May spill over into the 16 - width lanes behind where `room` says
// that they belong to the panel and are written later.
ASHLAR_INLINE void store_line(float* p, Vec v, int64_t width, bool room) {
  if (width == kLanes || room) {
    store(p, v);
  } else {
    store(p, v, width);
  }
}

// Packs r_count elements of `count` lines, of which `lines` is the first element. kWidth >= width
// bounds the panel's width at compile time.
template <typename Units, typename T, int kWidth>
static void pack_panel_as(const T* lines, int64_t line_stride, int64_t r_stride, int64_t count,
                          int64_t r_count, int64_t width, float* panel) {
  constexpr int64_t kR = Units::kR;
  const int64_t units = (r_count + kR - 1) / kR;
  const int64_t end = units * width;
  if (r_stride == 1) {
    for (int64_t u = 0; u < units; u += kLanes) {
      const int64_t rows = units - u < kLanes ? units - u : kLanes;
      for (int64_t line = 0; line < width; line += kLanes) {
        constexpr int kRows = kWidth < kLanes ? kWidth : kLanes;
        Vec v[kLanes];
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) {
          v[i] = i < kRows && line + i < count
                     ? Units::along_r(lines + (line + i) * line_stride + u * kR, r_count - u * kR)
                     : zero();
        }
        transpose<kRows>(v);
        const int64_t wide = width - line < kLanes ? width - line : kLanes;
        float* to = panel + u * width + line;
        if (rows == kLanes && u * width + (kLanes - 1) * width + kLanes <= end) {
#pragma GCC unroll 16
          for (int i = 0; i < kLanes; ++i) store(to + i * width, v[i]);
        } else {
          float rest[kLanes * kLanes];
          for (int i = 0; i < kLanes; ++i) store(rest + i * kLanes, v[i]);
          for (int64_t i = 0; i < rows; ++i) store(to + i * width, load(rest + i * kLanes), wide);
        }
      }
    }
  } else if (line_stride == 1) {
    for (int64_t u = 0; u < units; ++u) {
      for (int64_t line = 0; line < width; line += kLanes) {
        const int64_t wide = width - line < kLanes ? width - line : kLanes;
        const int64_t found = count - line < wide ? (count > line ? count - line : 0) : wide;
        const T* from = lines + u * kR * r_stride + line;
        const Vec v =
            found > 0 ? Units::along_lines(from, r_stride, r_count - u * kR, found) : zero();
        store_line(panel + u * width + line, v, wide, u * width + line + kLanes <= end);
      }
    }
  } else {
    for (int64_t u = 0; u < units; ++u) {
      for (int64_t line = 0; line < width; ++line) {
        const T* from = lines + line * line_stride + u * kR * r_stride;
        panel[u * width + line] =
            line < count ? Units::one(from, r_stride, r_count - u * kR) : 0.0f;
      }
    }
  }
}

// Packs elements [r, r + r_count) of lines [line, line + count) into a panel `width` wide.
template <int kWidth>
static void pack_panel(const Lines& from, Unit unit, int64_t line, int64_t count, int64_t r,
                       int64_t r_count, int64_t width, float* panel) {
  const int64_t first = line * from.line_stride + r * from.r_stride;
  const auto pack = [&]<typename T>(auto units, const T* data) {
    pack_panel_as<decltype(units), T, kWidth>(data + first, from.line_stride, from.r_stride, count,
                                              r_count, width, panel);
  };
  if (from.dtype == DType::kF32) {
    const float* data = static_cast<const float*>(from.data);
    unit == Unit::kF32 ? pack(F32Units<float>{}, data) : pack(PairUnits<float>{}, data);
  } else {
    const bf16* data = static_cast<const bf16*>(from.data);
    unit == Unit::kF32 ? pack(F32Units<bf16>{}, data) : pack(PairUnits<bf16>{}, data);
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
