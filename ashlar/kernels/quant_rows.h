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
  const float most = reduce_max(max(abs(a), abs(b)));
  // Not x * 0: a maximum may have dropped a NaN.
  const bool finite = reduce_add(a * zero()) + reduce_add(b * zero()) == 0.0f;
  const bool flat = !(most >= kLeastScaled);
  const Vec factor = broadcast(finite && !flat ? 127.0f / most : 0.0f);
  // NaN * 0 is no integer: the codes of such a block are zeros.
  const Ints low = finite ? to_ints(a * factor) : ints(0);
  const Ints high = finite ? to_ints(b * factor) : ints(0);
  store_bytes(out.codes, low);
  store_bytes(out.codes + kLanes, high);
  const auto low_sum = static_cast<int32_t>(reduce_add(to_floats(low)));
  const auto high_sum = static_cast<int32_t>(reduce_add(to_floats(high)));
  const int32_t sum = low_sum + high_sum;
  out.starts[0] = -F::kOffset * (F::kSubBlocks == 2 ? low_sum : sum);
  out.starts[1] = -F::kOffset * high_sum;
  out.scale = !finite ? __builtin_nanf("") : flat ? 0.0f : most / 127.0f;
  out.sum = out.scale * static_cast<float>(sum);
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
