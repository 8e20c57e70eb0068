// Loops of the row and elementwise kernels: over the vectors of a row, over tasks of rows, and the
// choice of the element type.
#pragma once

#include "ashlar/kernels/parallel.h"
#include "ashlar/kernels/vec.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// A vector's count of elements, known to be all 16.
struct AllLanes {};
template <typename T>
ASHLAR_INLINE Vec load(const T* p, AllLanes) {
  return load(p);
}
template <typename T>
ASHLAR_INLINE void store(T* p, Vec a, AllLanes) {
  store(p, a);
}
// a in the first count lanes, zeros beyond.
ASHLAR_INLINE Vec keep(Vec a, AllLanes) { return a; }
ASHLAR_INLINE Vec keep(Vec a, int64_t count) { return select(first_lanes(count), a, zero()); }

// f(i, count) for i = 0, 16, 32, ...: count is AllLanes, at the end int64_t.
template <typename F>
ASHLAR_INLINE void for_each_vec(int64_t elements, F f) {
  int64_t i = 0;
  for (; i + kLanes <= elements; i += kLanes) f(i, AllLanes{});
  if (i < elements) f(i, elements - i);
}

// f(begin, end) over [0, count) in tasks of `grain`.
template <typename F>
ASHLAR_INLINE void parallel_ranges(const Team& team, int64_t count, int64_t grain, F f) {
  const auto task = [&](int64_t i, int) {
    const int64_t begin = i * grain;
    f(begin, begin + grain < count ? begin + grain : count);
  };
  parallel_for(team, (count + grain - 1) / grain, task);
}

// Elements of a task: long enough to hide its start, short enough to share out.
inline constexpr int64_t kTaskElements = 1 << 14;

template <typename F>
ASHLAR_INLINE void parallel_rows(const Team& team, int64_t rows, int64_t width, F f) {
  const int64_t grain = width < kTaskElements ? kTaskElements / (width > 0 ? width : 1) : 1;
  parallel_ranges(team, rows, grain, [&](int64_t begin, int64_t end) {
    for (int64_t t = begin; t < end; ++t) f(t);
  });
}

// f(begin, end) over the columns, one slice a thread: where every column is a chain of its own, how
// they are cut changes no bit. Slices are whole cache lines of f32.
template <typename F>
ASHLAR_INLINE void parallel_columns(const Team& team, int64_t width, F f) {
  const int64_t vecs = (width + kLanes - 1) / kLanes;
  parallel_ranges(team, width, (vecs + team.threads - 1) / team.threads * kLanes, f);
}

// f(element) with element a float, a bf16 or an f16: the type of an operand.
template <typename F>
ASHLAR_INLINE void with_element(DType dtype, F f) {
  if (dtype == DType::kBF16) {
    f(bf16{});
  } else if (dtype == DType::kF16) {
    f(f16{});
  } else {
    f(float{});
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
