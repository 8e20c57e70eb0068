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

// Where packed lines go: unit `first`, and what follows it, of panels `stride` units of 32 bits
// apart.
struct Panels {
  float* begin;
  int64_t stride, first;
  bool trimmed;  // the last one has no more lines than there are, else zeros
};

// What is packed, and where to: r_count elements of `count` lines.
template <typename T>
struct PackJob {
  const T* lines;  // the first element
  int64_t line_stride, r_stride;
  int64_t count, r_count;
  Panels to;
};

// A panel of a job. Stores go 16 lanes at a time: where width is less they spill over into the
// units behind, which are written later, but never to `end`.
struct Panel {
  float *to, *end;
  int64_t width, count;  // lines it has, and those of them that are not zeros
};
template <int kWidth, typename T>
ASHLAR_INLINE Panel panel_of(const PackJob<T>& job, int64_t line, int64_t units) {
  const int64_t count = job.count - line < kWidth ? job.count - line : kWidth;
  const int64_t width = job.to.trimmed ? count : kWidth;
  float* to = job.to.begin + line / kWidth * job.to.stride + job.to.first * width;
  return {to, to + units * width, width, count};
}

// r contiguous: squares of 16 units and 16 lines are transposed. Line by line to the end of r, so
// that memory is read in few and long streams.
template <typename Units, int kWidth, typename T>
ASHLAR_INLINE void pack_along_r(const PackJob<T>& job, int64_t first_line, int64_t units) {
  constexpr int64_t kR = Units::kR;
  constexpr int kRows = kWidth < kLanes ? kWidth : kLanes;
  const Panel panel = panel_of<kWidth>(job, first_line, units);
  for (int64_t line = 0; line < panel.width; line += kLanes) {
    const int64_t wide = panel.width - line < kLanes ? panel.width - line : kLanes;
    for (int64_t u = 0; u < units; u += kLanes) {
      const int64_t rows = units - u < kLanes ? units - u : kLanes;
      Vec v[kLanes];
#pragma GCC unroll 16
      for (int i = 0; i < kRows; ++i) {
        prefetch(job.lines + (first_line + line + i) * job.line_stride + (u + 2 * kLanes) * kR);
      }
#pragma GCC unroll 16
      for (int i = 0; i < kLanes; ++i) {
        const T* from = job.lines + (first_line + line + i) * job.line_stride + u * kR;
        v[i] = i < kRows && line + i < panel.count ? Units::along_r(from, job.r_count - u * kR)
                                                   : zero();
      }
      transpose<kRows>(v);
      float* to = panel.to + u * panel.width + line;
      if (rows == kLanes && to + (kLanes - 1) * panel.width + kLanes <= panel.end) {
#pragma GCC unroll 16
        for (int i = 0; i < kLanes; ++i) store(to + i * panel.width, v[i]);
      } else {
        float rest[kLanes * kLanes];
        for (int i = 0; i < kLanes; ++i) store(rest + i * kLanes, v[i]);
        for (int64_t i = 0; i < rows; ++i) {
          store(to + i * panel.width, load(rest + i * kLanes), wide);
        }
      }
    }
  }
}

// What is packed next, of panels whose lines are contiguous.
inline constexpr int64_t kUnitsAhead = 4;
template <int64_t kR, int kWidth, typename T>
ASHLAR_INLINE void fetch_rows(const T* from, int64_t r_stride) {
  for (int64_t row = 0; row < kR; ++row, from += r_stride) {
    for (int64_t i = 0; i < kWidth; i += 64 / static_cast<int64_t>(sizeof(T))) prefetch(from + i);
  }
}

// Lines contiguous, unit u of all panels: memory is read from end to end, as its prefetchers like
// it, and panels are written side by side.
template <typename Units, int kWidth, typename T>
ASHLAR_INLINE void pack_along_lines(const PackJob<T>& job, int64_t u, int64_t units) {
  const T* row = job.lines + u * Units::kR * job.r_stride;
  const int64_t r_left = job.r_count - u * Units::kR;
  constexpr int64_t kStored = (kWidth + kLanes - 1) / kLanes * kLanes;
  const int64_t whole = (units - u) * kWidth >= kStored ? job.count : 0;
  float* to = job.to.begin + (job.to.first + u) * kWidth;
  int64_t line = 0;
  for (; line + kStored <= whole; line += kWidth) {
    fetch_rows<Units::kR, kWidth>(row + kUnitsAhead * Units::kR * job.r_stride + line,
                                  job.r_stride);
#pragma GCC unroll 4
    for (int64_t lane = 0; lane < kWidth; lane += kLanes) {
      store(to + lane, Units::along_lines(row + line + lane, job.r_stride, r_left));
    }
    to += job.to.stride;
  }
  for (; line < job.count; line += kWidth) {
    const Panel panel = panel_of<kWidth>(job, line, units);
    float* unit = panel.to + u * panel.width;
    for (int64_t lane = 0; lane < panel.width; lane += kLanes, unit += kLanes) {
      const int64_t left = panel.count - lane;
      const T* from = row + line + lane;
      const Vec v = left >= kLanes ? Units::along_lines(from, job.r_stride, r_left)
                    : left > 0     ? Units::along_lines(from, job.r_stride, r_left, left)
                                   : zero();
      if (unit + kLanes <= panel.end) {
        store(unit, v);
      } else {
        store(unit, v, panel.width - lane);
      }
    }
  }
}

template <typename Units, int kWidth, typename T>
ASHLAR_INLINE void pack_scattered(const PackJob<T>& job, int64_t first_line, int64_t units) {
  const Panel panel = panel_of<kWidth>(job, first_line, units);
  for (int64_t u = 0; u < units; ++u) {
    for (int64_t line = 0; line < panel.width; ++line) {
      const T* from =
          job.lines + (first_line + line) * job.line_stride + u * Units::kR * job.r_stride;
      panel.to[u * panel.width + line] =
          line < panel.count ? Units::one(from, job.r_stride, job.r_count - u * Units::kR) : 0.0f;
    }
  }
}

template <typename Units, int kWidth, typename T>
static void pack_panels_as(const PackJob<T>& job) {
  const int64_t units = (job.r_count + Units::kR - 1) / Units::kR;
  if (job.r_stride != 1 && job.line_stride == 1) {
    for (int64_t u = 0; u < units; ++u) pack_along_lines<Units, kWidth>(job, u, units);
    return;
  }
  for (int64_t line = 0; line < job.count; line += kWidth) {
    if (job.r_stride == 1) {
      pack_along_r<Units, kWidth>(job, line, units);
    } else {
      pack_scattered<Units, kWidth>(job, line, units);
    }
  }
}

// Packs elements [r, r + r_count) of lines [line, line + count) into panels kWidth wide.
template <int kWidth>
static void pack_lines(const Lines& from, Unit unit, int64_t line, int64_t count, int64_t r,
                       int64_t r_count, const Panels& to) {
  const auto pack = [&]<typename T>(auto units, const T* data) {
    pack_panels_as<decltype(units), kWidth, T>({data + line * from.line_stride + r * from.r_stride,
                                                from.line_stride, from.r_stride, count, r_count,
                                                to});
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
    pack_lines<kWidth>(from, Unit::kF32, line, count, k, steps, {wide, 0, 0, false});
    for (int64_t i = 0; i < steps * kWidth; i += kLanes) {
      store(panel + k * kWidth + i, load(wide + i));
    }
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
