#include "ashlar/tensor/quantize.h"

#include "ashlar/base/error.h"
#include "ashlar/tensor/block_codes.h"
#include "ashlar/tensor/quantize_block.h"

#include <algorithm>
#include <cmath>

namespace ashlar {
namespace {

// 1 / d, and zero where that is no number: such a block is all (nearly) zero.
float inverse(float d) {
  const float id = d == 0 ? 0 : 1 / d;
  return std::isfinite(id) ? id : 0;
}

float widest(const float* x) {  // the first of the largest magnitudes
  return *std::max_element(x, x + kSmallBlock,
                           [](float a, float b) { return std::abs(a) < std::abs(b); });
}

// Q4_0, Q5_0: the widest weight is the code -kHalf, the code that has no opposite.
template <int kHalf, typename Block>
void round_around_zero(const float* x, Block& b) {
  const float d = widest(x) / -kHalf;
  const float id = inverse(d);
  b.d = to_f16(d);
  for (int i = 0; i < kSmallBlock; ++i) {
    const int level = static_cast<int>(x[i] * id + (kHalf + 0.5f));
    set_code(b, i, std::min(level, 2 * kHalf - 1) - kHalf);
  }
}

// Q4_1, Q5_1: from the lowest weight to the highest.
template <int kTop, typename Block>
void round_between(const float* x, Block& b) {
  const auto [low, high] = std::minmax_element(x, x + kSmallBlock);
  const float d = (*high - *low) / kTop;
  const float id = inverse(d);
  b.d = to_f16(d);
  b.m = to_f16(*low);
  for (int i = 0; i < kSmallBlock; ++i) {
    set_code(b, i, std::min(static_cast<int>((x[i] - *low) * id + 0.5f), kTop));
  }
}

void quantize_block(const float* x, BlockQ4_0& b) { round_around_zero<8>(x, b); }
void quantize_block(const float* x, BlockQ5_0& b) { round_around_zero<16>(x, b); }
void quantize_block(const float* x, BlockQ4_1& b) { round_between<15>(x, b); }
void quantize_block(const float* x, BlockQ5_1& b) { round_between<31>(x, b); }

void quantize_block(const float* x, BlockQ8_0& b) {
  const float d = std::abs(widest(x)) / 127;
  const float id = inverse(d);
  b.d = to_f16(d);
  for (int i = 0; i < kSmallBlock; ++i) {
    set_code(b, i, static_cast<int>(std::round(x[i] * id)));  // halves away from zero
  }
}

template <typename Block>
void weights_to_blocks(const float* weights, void* blocks, int64_t n) {
  Block* b = static_cast<Block*>(blocks);
  for (int64_t i = 0; i < n; i += kElements<Block>, ++b) {
    *b = {};
    quantize_block(weights + i, *b);
  }
}

}  // namespace

void quantize(DType dtype, const float* weights, void* blocks, int64_t n) {
  ASHLAR_CHECK(n % block_elements(dtype) == 0, "quantize: {} elements are no whole blocks of {}", n,
               name(dtype));
  for (int64_t i = 0; i < n; ++i) {
    ASHLAR_CHECK(std::isfinite(weights[i]), "quantize: weight {} is {}, wanted a finite number", i,
                 weights[i]);
  }
  switch (dtype) {
    case DType::kQ4_0:
      return weights_to_blocks<BlockQ4_0>(weights, blocks, n);
    case DType::kQ4_1:
      return weights_to_blocks<BlockQ4_1>(weights, blocks, n);
    case DType::kQ5_0:
      return weights_to_blocks<BlockQ5_0>(weights, blocks, n);
    case DType::kQ5_1:
      return weights_to_blocks<BlockQ5_1>(weights, blocks, n);
    case DType::kQ8_0:
      return weights_to_blocks<BlockQ8_0>(weights, blocks, n);
    case DType::kIQ4NL:
      return weights_to_blocks<BlockIQ4NL>(weights, blocks, n);
    case DType::kQ2K:
      return weights_to_blocks<BlockQ2K>(weights, blocks, n);
    case DType::kQ3K:
      return weights_to_blocks<BlockQ3K>(weights, blocks, n);
    case DType::kQ4K:
      return weights_to_blocks<BlockQ4K>(weights, blocks, n);
    case DType::kQ5K:
      return weights_to_blocks<BlockQ5K>(weights, blocks, n);
    case DType::kQ6K:
      return weights_to_blocks<BlockQ6K>(weights, blocks, n);
    default:
      fail("quantize: {} is no block type", name(dtype));
  }
}

}  // namespace ashlar
