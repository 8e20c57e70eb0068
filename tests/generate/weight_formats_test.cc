// Models whose weights are held in blocks of few bits.
#include "ashlar/generate/generator.h"
#include "tests/generate/random_model.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ashlar::generate {
namespace {

constexpr testing::RandomModelSizes kSizes = {
    .width = 128, .layers = 2, .heads = 4, .kv_heads = 2, .ffn = 256, .vocab = 97};

// Logits of the last of some tokens.
std::vector<float> logits(DType dtype, const testing::RandomModelSizes& sizes) {
  ThreadPool pool(2);
  ModelOptions options;
  options.limits = {.tokens = 32, .seqs = 1, .outputs = 1};
  options.set_dtype(dtype);
  const auto runner = testing::random_runner(sizes, options, pool);
  KvPool cache(runner->blocks());
  BlockTable table(cache, {});
  std::vector<int32_t> tokens;
  for (int32_t i = 0; i < 20; ++i) tokens.push_back(i * 31 % 97);
  EXPECT_TRUE(table.grow(20));
  const SequencePiece piece = {tokens, 0, table.blocks(), 1};
  const std::span<const float> found = runner->run({&piece, 1}).row(0);
  return {found.begin(), found.end()};
}

// sqrt(sum of squared differences / sum of squares)
double distance(const std::vector<float>& found, const std::vector<float>& wanted) {
  double difference = 0, size = 0;
  for (size_t i = 0; i < wanted.size(); ++i) {
    difference += std::pow(double(found[i]) - double(wanted[i]), 2);
    size += std::pow(double(wanted[i]), 2);
  }
  return std::sqrt(difference / size);
}

// f16 weights with f32 activations: only keys and values and the weights are rounded.
TEST(WeightFormats, HalvesAreNearerThanBytes) {
  for (const int64_t experts : {0, 3}) {
    testing::RandomModelSizes sizes = kSizes;
    sizes.experts = experts;
    const double half = distance(logits(DType::kF16, sizes), logits(DType::kF32, sizes));
    EXPECT_LT(half, 1e-3) << experts;
    EXPECT_GT(half, 1e-6) << experts;
  }
}

// Rounding uniform weights to 256 or 16 steps loses 0.4% or 7% of each at random.
TEST(WeightFormats, LogitsStayNearThoseOfF32) {
  for (const int64_t experts : {0, 3}) {
    testing::RandomModelSizes sizes = kSizes;
    sizes.experts = experts;
    const std::vector<float> wanted = logits(DType::kF32, sizes);
    const double eight = distance(logits(DType::kQ8_0, sizes), wanted);
    const double four = distance(logits(DType::kQ4_0, sizes), wanted);
    EXPECT_LT(eight, 0.04) << experts;
    EXPECT_GT(eight, 1e-4) << experts;
    EXPECT_LT(four, 0.5) << experts;
    EXPECT_GT(four, 4 * eight) << experts;
  }
}

}  // namespace
}  // namespace ashlar::generate
