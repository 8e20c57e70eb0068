// Activations as quantised products read them: each row in blocks of kQuantBlock, rounded to bytes
// by a scale of the block's own. Tiles of rows lie one after the other, block by block, the rows of
// a block side by side: [tile][block][row].
#pragma once

#include "ashlar/kernels/args.h"
#include "ashlar/kernels/vec_bytes.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

struct QuantRow {
  int8_t codes[kQuantBlock];
  float scale;
  float sum;          // scale * the sum of the codes
  int32_t starts[2];  // - the weights' offset * the sum of the codes, of each sub-block
};
inline constexpr int64_t kQuantRowBytes = sizeof(QuantRow);

// Smaller blocks count as 0: 127 / most would overflow.
inline constexpr float kLeastScaled = 0x1.0p-119f;

// One block of a row, for weights of format F. A block with a NaN or an infinity becomes NaN as a
// whole.
template <typename F, typename T>
ASHLAR_INLINE void quantise_block(const T* x, QuantRow& out) {
  const Vec a = load(x), b = load(x + kLanes);
  const Vec sizes_a = abs(a), sizes_b = abs(b);
  // A maximum may drop a NaN, so each is asked.
  const Vec largest = broadcast(3.4028234664e38f);
  const bool finite = all(less_equal(sizes_a, largest) & less_equal(sizes_b, largest));
  const float most = finite ? reduce_max(max(sizes_a, sizes_b)) : 0.0f;
  const bool flat = most < kLeastScaled;
  const Vec factor = broadcast(flat ? 0.0f : 127.0f / most);
  const Ints low = finite ? to_ints(a * factor) : ints(0);
  const Ints high = finite ? to_ints(b * factor) : ints(0);
  store_bytes(out.codes, low);
  store_bytes(out.codes + kLanes, high);
  int32_t sum;
  if constexpr (F::kSubBlocks == 2) {
    const auto high_sum = static_cast<int32_t>(reduce_add(to_floats(high)));
    sum = static_cast<int32_t>(reduce_add(to_floats(low))) + high_sum;
    out.starts[0] = -F::kOffset * (sum - high_sum);
    out.starts[1] = -F::kOffset * high_sum;
  } else {
    sum = static_cast<int32_t>(reduce_add(to_floats(low + high)));
    out.starts[0] = -F::kOffset * sum;
  }
  out.scale = !finite ? __builtin_nanf("") : flat ? 0.0f : most / 127.0f;
  out.sum = out.scale * static_cast<float>(sum);
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
