// Packing: a panel of `width` lines (rows of A, columns of B) is written as
//   panel[u * width + line], u ascending in r,
// in units of 32 bits: one f32, or a pair of bf16 (r, r + 1; the last one is padded with 0). Panels
// of f16 (kHalves) are as long as those of pairs, but hold halves in the order of f32: panel[r *
// width + line]. The micro-kernels read a panel from front to back. Lines beyond `count` are zero.
#pragma once

#include "ashlar/kernels/args.h"
#include "ashlar/kernels/pack_transpose.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

enum class Unit : uint8_t { kF32, kPair, kHalves };

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
  // count: nothing for all 16, or how many.
  ASHLAR_INLINE Vec along_lines(const T* p, int64_t, int64_t, auto... count) {
    return load(p, count...);
  }
  ASHLAR_INLINE float one(const T* p, int64_t, int64_t) { return widen(*p); }
};

template <typename T>
inline constexpr bool kIsBf16 = false;
template <>
inline constexpr bool kIsBf16<bf16> = true;

template <typename T>
struct PairUnits {
  static constexpr int64_t kR = 2;
  ASHLAR_INLINE Vec along_r(const T* p, int64_t r_left) {
    if constexpr (kIsBf16<T>) {
      if (r_left >= 2 * kLanes) return load_bits(p);
    }
    bf16 rounded[2 * kLanes] = {};
    for (int64_t i = 0; i < 2 * kLanes && i < r_left; ++i) narrow(widen(p[i]), rounded + i);
    return load_bits(rounded);
  }
  ASHLAR_INLINE Vec along_lines(const T* p, int64_t r_stride, int64_t r_left, auto... count) {
    const Ints low = shift_right<16>(as_ints(rounded(p, count...)));
    if (r_left == 1) return as_floats(low);
    return as_floats(low | as_ints(rounded(p + r_stride, count...)));
  }
  ASHLAR_INLINE float one(const T* p, int64_t r_stride, int64_t r_left) {
    bf16 pair[2] = {};
    narrow(widen(*p), pair);
    if (r_left > 1) narrow(widen(p[r_stride]), pair + 1);
    return __builtin_bit_cast(float, pair);
  }

 private:
  // bf16 values in the upper halves of the lanes, zeros below.
  ASHLAR_INLINE Vec rounded(const T* p, auto... count) {
    const Vec v = load(p, count...);
    if constexpr (kIsBf16<T>) return v;
    bf16 buffer[kLanes];
    store(buffer, v);
    return load(buffer);
  }
};

// What pack_panel writes, and from where. Stores go 16 lanes at a time: where width is less they
// spill over into the units behind, which are written later, but never to `end`.
template <typename T>
struct PanelJob {
  const T* lines;  // the first element
  int64_t line_stride, r_stride;
  int64_t count, r_count;
  int64_t width;
  float* panel;
  const float* end;
};

// r contiguous: squares of 16 units and 16 lines are transposed. Line by line to the end of r, so
// that memory is read in few and long streams.
template <typename Units, int kWidth, typename T>
ASHLAR_INLINE void pack_along_r(const PanelJob<T>& job, int64_t units) {
  constexpr int64_t kR = Units::kR;
  constexpr int kRows = kWidth < kLanes ? kWidth : kLanes;
  for (int64_t line = 0; line < job.width; line += kLanes) {
    const int64_t wide = job.width - line < kLanes ? job.width - line : kLanes;
    for (int64_t u = 0; u < units; u += kLanes) {
      const int64_t rows = units - u < kLanes ? units - u : kLanes;
      Vec v[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        const T* from = job.lines + (line + i) * job.line_stride + u * kR;
        v[i] =
            i < kRows && line + i < job.count ? Units::along_r(from, job.r_count - u * kR) : zero();
      }
      transpose<kRows>(v);
      float* to = job.panel + u * job.width + line;
      if (rows == kLanes && to + (kLanes - 1) * job.width + kLanes <= job.end) {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) store(to + i * job.width, v[i]);
      } else {
        float rest[kLanes * kLanes];
        for (int i = 0; i < kLanes; ++i) store(rest + i * kLanes, v[i]);
        for (int64_t i = 0; i < rows; ++i) store(to + i * job.width, load(rest + i * kLanes), wide);
      }
    }
  }
}

// Lines contiguous: copies 16 lines at a time.
template <typename Units, typename T>
ASHLAR_INLINE void pack_along_lines(const PanelJob<T>& job, int64_t units) {
  constexpr int64_t kR = Units::kR;
  for (int64_t line = 0; line < job.width; line += kLanes) {
    const int64_t wide = job.width - line < kLanes ? job.width - line : kLanes;
    const int64_t left = job.count > line ? job.count - line : 0;
    const int64_t count = left < wide ? left : wide;
    const T* from = job.lines + line;
    float* to = job.panel + line;
    int64_t u = 0;
    if (count == kLanes) {
      for (; u < units; ++u, from += kR * job.r_stride, to += job.width) {
        store(to, Units::along_lines(from, job.r_stride, job.r_count - u * kR));
      }
    } else if (count > 0) {
      for (; u < units && to + kLanes <= job.end; ++u, from += kR * job.r_stride, to += job.width) {
        store(to, Units::along_lines(from, job.r_stride, job.r_count - u * kR, count));
      }
    }
    for (; u < units; ++u, from += kR * job.r_stride, to += job.width) {
      const Vec v =
          count > 0 ? Units::along_lines(from, job.r_stride, job.r_count - u * kR, count) : zero();
      store(to, v, wide);
    }
  }
}

template <typename Units, typename T>
ASHLAR_INLINE void pack_scattered(const PanelJob<T>& job, int64_t units) {
  for (int64_t u = 0; u < units; ++u) {
    for (int64_t line = 0; line < job.width; ++line) {
      const T* from = job.lines + line * job.line_stride + u * Units::kR * job.r_stride;
      job.panel[u * job.width + line] =
          line < job.count ? Units::one(from, job.r_stride, job.r_count - u * Units::kR) : 0.0f;
    }
  }
}

// kWidth >= width bounds the panel's width at compile time.
template <typename Units, int kWidth, typename T>
static void pack_panel_as(const PanelJob<T>& job) {
  const int64_t units = (job.r_count + Units::kR - 1) / Units::kR;
  if (job.r_stride == 1) {
    pack_along_r<Units, kWidth>(job, units);
  } else if (job.line_stride == 1) {
    pack_along_lines<Units>(job, units);
  } else {
    pack_scattered<Units>(job, units);
  }
}

// Packs elements [r, r + r_count) of lines [line, line + count) into a panel `width` wide. Units up
// to `end` may be written.
template <int kWidth>
static void pack_panel(const Lines& from, Unit unit, int64_t line, int64_t count, int64_t r,
                       int64_t r_count, int64_t width, float* panel, const float* end) {
  const auto pack = [&]<typename T>(auto units, const T* data) {
    pack_panel_as<decltype(units), kWidth, T>({data + line * from.line_stride + r * from.r_stride,
                                               from.line_stride, from.r_stride, count, r_count,
                                               width, panel, end});
  };
  const auto pack_as = [&]<typename T>(const T* data) {
    unit == Unit::kF32 ? pack(F32Units<T>{}, data) : pack(PairUnits<T>{}, data);
  };
  if (from.dtype == DType::kF32) {
    pack_as(static_cast<const float*>(from.data));
  } else if (from.dtype == DType::kF16) {
    pack_as(static_cast<const f16*>(from.data));
  } else {
    pack_as(static_cast<const bf16*>(from.data));
  }
}

// The same for r elements of kWidth lines, as halves.
template <int kWidth>
static void pack_halves(const Lines& from, int64_t line, int64_t count, int64_t r, f16* panel) {
  constexpr int64_t kStep = 64;
  float wide[kStep * kWidth];
  for (int64_t k = 0; k < r; k += kStep) {
    const int64_t steps = r - k < kStep ? r - k : kStep;
    pack_panel<kWidth>(from, Unit::kF32, line, count, k, steps, kWidth, wide,
                       wide + steps * kWidth);
    for (int64_t i = 0; i < steps * kWidth; i += kLanes) {
      store(panel + k * kWidth + i, load(wide + i));
    }
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
