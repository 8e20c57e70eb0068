// Activations as quantised products read them: each row in super-blocks of kQuantSuper, rounded to
// bytes by a scale of the super-block's own. Tiles of rows lie one after the other, block by block,
// the rows of a block side by side: [tile][block][row].
#pragma once

#include "ashlar/kernels/extent.h"
#include "ashlar/kernels/quant_formats_k.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

struct QuantRow {  // one block of a row
  int8_t codes[kQuantBlock];
  float scale;  // of its super-block
  float sum;    // of the codes
  // Of each sub-block, - the weights' offset * the sum of the codes; where nibbles are summed, in
  // halves (vec_bytes.h).
  int32_t starts[2];
};
// As format F wants it.
template <typename F>
struct QuantRowOf {
  using type = QuantRow;
};

// Smaller super-blocks count as 0: 127 / most would overflow.
inline constexpr float kLeastScaled = 0x1.0p-119f;

// How a super-block of a row is rounded.
struct QuantScale {
  float scale, factor;
  bool finite;
};
// Of `blocks` blocks from x on. One that holds a NaN or an infinity becomes NaN as a whole.
template <typename T>
ASHLAR_INLINE QuantScale quantise_scale(const T* x, int64_t blocks) {
  // Sizes stand in the order of their bits, those of infinities and NaNs behind all others.
  constexpr int32_t kSize = 0x7fffffff, kLargest = 0x7f7fffff;
  Ints most_of_lanes[2] = {ints(0), ints(0)};
  for (int64_t k = 0; k < blocks * kQuantBlock; k += 2 * kLanes) {
    most_of_lanes[0] = max(most_of_lanes[0], as_ints(load(x + k)) & ints(kSize));
    most_of_lanes[1] = max(most_of_lanes[1], as_ints(load(x + k + kLanes)) & ints(kSize));
  }
  const Ints sizes = max(most_of_lanes[0], most_of_lanes[1]);
  if (any(greater(sizes, ints(kLargest)))) return {__builtin_nanf(""), 0.0f, false};
  const float most = reduce_max(as_floats(sizes));
  if (most < kLeastScaled) return {0.0f, 0.0f, true};
  return {most / 127.0f, 127.0f / most, true};
}

// 16 elements of a row as codes.
template <typename T>
ASHLAR_INLINE Ints quantise(const T* x, const QuantScale& by) {
  return by.finite ? to_ints(load(x) * broadcast(by.factor)) : ints(0);
}

// One block of a row, for weights of format F.
template <typename F, typename T>
ASHLAR_INLINE void quantise_block(const T* x, const QuantScale& by, QuantRow& out) {
  store_bytes(out.codes, quantise(x, by));
  store_bytes(out.codes + kLanes, quantise(x + kLanes, by));
  const int32_t first = sum_bytes(out.codes), last = sum_bytes(out.codes + kLanes);
  out.sum = static_cast<float>(first + last);
  if constexpr (!kSumsBytes) {
    nibble_starts<F::kSubBlocks == 1>(out.codes, -F::kOffset, out.starts);
  } else if constexpr (F::kSubBlocks == 2) {
    out.starts[0] = -F::kOffset * first;
    out.starts[1] = -F::kOffset * last;
  } else {
    out.starts[0] = -F::kOffset * (first + last);
  }
  out.scale = by.scale;
}

// f(first block, how many), of each super-block of a row.
template <typename Take>
ASHLAR_INLINE void each_super(int64_t blocks, Take&& f) {
  for (int64_t first = 0; first < blocks; first += kSuperBlocks) {
    f(first, lesser(kSuperBlocks, blocks - first));
  }
}

// f(first element), as what A's dtype says.
template <typename F>
ASHLAR_INLINE void with_elements(const MatrixView& a, F&& f) {
  if (a.dtype == DType::kF32) {
    f(static_cast<const float*>(a.data));
  } else if (a.dtype == DType::kF16) {
    f(static_cast<const f16*>(a.data));
  } else {
    f(static_cast<const bf16*>(a.data));
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
