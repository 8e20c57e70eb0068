// One vector of the rows of a text: their mean, the first, the last, their largest channels, or a
// mean weighted by place. Sums are in double.
#pragma once

#include <cstdint>
#include <span>
#include <string_view>
#include <vector>

namespace ashlar::embed {

enum class Pooling : uint8_t {
  kMean,
  kCls,           // the first token's
  kLast,          // the last token's
  kMax,           // of each channel
  kMeanSqrt,      // the sum by the root of the number of tokens
  kWeightedMean,  // token i (from 0) counts i + 1 times
};

// rows: [tokens, width], at least one token.
std::vector<float> pool(Pooling pooling, std::span<const float> rows, int64_t width);

// Divides by the Euclidean length; zeros stay.
void normalize(std::span<float> vector);

}  // namespace ashlar::embed
