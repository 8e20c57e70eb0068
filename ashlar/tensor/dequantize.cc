#include "ashlar/base/error.h"
#include "ashlar/tensor/block_codes.h"
#include "ashlar/tensor/quantize.h"

namespace ashlar {
namespace {

template <typename Block>
concept HasMins = requires(const Block& b) {
  min(b, 0);
};
template <typename Block>
concept HasOffset = requires(const Block& b) {
  b.m;
};

// The products are rounded one by one, in the order that gguf has.
template <typename Block>
void weights_of(const Block& b, float* y) {
  const float d = to_float(b.d);
  if constexpr (kElements<Block> == kLargeBlock) {
    constexpr int kSize = kGroup<Block>;
    for (int g = 0; g < kLargeBlock / kSize; ++g) {
      const float group_d = d * static_cast<float>(scale(b, g));
      float offset = 0;
      if constexpr (HasMins<Block>) offset = to_float(b.dmin) * static_cast<float>(min(b, g));
      for (int i = g * kSize; i < (g + 1) * kSize; ++i) {
        y[i] = group_d * static_cast<float>(code(b, i));
        if constexpr (HasMins<Block>) y[i] -= offset;
      }
    }
  } else {
    for (int i = 0; i < kSmallBlock; ++i) {
      y[i] = d * static_cast<float>(code(b, i));
      if constexpr (HasOffset<Block>) y[i] += to_float(b.m);
    }
  }
}

template <typename Block>
void blocks_to_weights(const void* blocks, float* weights, int64_t n) {
  const Block* b = static_cast<const Block*>(blocks);
  for (int64_t i = 0; i < n; i += kElements<Block>) weights_of(*b++, weights + i);
}

}  // namespace

void dequantize(DType dtype, const void* blocks, float* weights, int64_t n) {
  ASHLAR_CHECK(n % block_elements(dtype) == 0, "dequantize: {} elements are no whole blocks of {}",
               n, name(dtype));
  switch (dtype) {
    case DType::kQ4_0:
      return blocks_to_weights<BlockQ4_0>(blocks, weights, n);
    case DType::kQ4_1:
      return blocks_to_weights<BlockQ4_1>(blocks, weights, n);
    case DType::kQ5_0:
      return blocks_to_weights<BlockQ5_0>(blocks, weights, n);
    case DType::kQ5_1:
      return blocks_to_weights<BlockQ5_1>(blocks, weights, n);
    case DType::kQ8_0:
      return blocks_to_weights<BlockQ8_0>(blocks, weights, n);
    case DType::kIQ4NL:
      return blocks_to_weights<BlockIQ4NL>(blocks, weights, n);
    case DType::kQ2K:
      return blocks_to_weights<BlockQ2K>(blocks, weights, n);
    case DType::kQ3K:
      return blocks_to_weights<BlockQ3K>(blocks, weights, n);
    case DType::kQ4K:
      return blocks_to_weights<BlockQ4K>(blocks, weights, n);
    case DType::kQ5K:
      return blocks_to_weights<BlockQ5K>(blocks, weights, n);
    case DType::kQ6K:
      return blocks_to_weights<BlockQ6K>(blocks, weights, n);
    default:
      fail("dequantize: {} is no block type", name(dtype));
  }
}

}  // namespace ashlar
