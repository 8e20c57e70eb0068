#include "ashlar/base/philox.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <set>
#include <vector>

namespace ashlar {
namespace {

// Random123's known answers for philox4x32-10 (kat_vectors): counter, key, result.
TEST(PhiloxTest, KnownAnswers) {
  EXPECT_EQ(philox4x32(0, {0, 0, 0, 0}),
            (PhiloxBlock{0x6627e8d5, 0xe169c58d, 0xbc57ac4c, 0x9b00dbd8}));
  EXPECT_EQ(philox4x32(~uint64_t{0}, {0xffffffff, 0xffffffff, 0xffffffff, 0xffffffff}),
            (PhiloxBlock{0x408f276d, 0x41c83b0e, 0xa20bc7c6, 0x6d5451fd}));
  EXPECT_EQ(philox4x32(0x299f31d0a4093822, {0x243f6a88, 0x85a308d3, 0x13198a2e, 0x03707344}),
            (PhiloxBlock{0xd16cfe09, 0x94fdcceb, 0x5001e420, 0x24126ea1}));
}

// FNV's authors' test vectors.
TEST(PhiloxTest, HashOfAPath) {
  static_assert(hash_path("") == 0xcbf29ce484222325ull);
  EXPECT_EQ(hash_path("a"), 0xaf63dc4c8601ec8cull);
  EXPECT_EQ(hash_path("foobar"), 0x85944171f73967e8ull);
}

TEST(RandomStreamTest, ElementsArePureFunctionsOfSeedPathStep) {
  const RandomStream stream(7, "layers.0.dropout", 3);
  const RandomStream same(7, "layers.0.dropout", 3);
  std::set<uint32_t> first_words = {stream.bits(0)};
  for (const RandomStream& other :
       {RandomStream(8, "layers.0.dropout", 3), RandomStream(7, "layers.1.dropout", 3),
        RandomStream(7, "layers.0.dropout", 4),
        RandomStream(7, "layers.0.dropout", 3 + (1ull << 32))}) {
    EXPECT_TRUE(first_words.insert(other.bits(0)).second);
  }
  for (uint64_t i = 0; i < 100; ++i) {
    EXPECT_EQ(stream.bits(99 - i), same.bits(99 - i));
    EXPECT_EQ(stream.bits(i), stream.block(i / 4)[i % 4]);
  }
  // Blocks beyond 2^32 do not repeat those below.
  EXPECT_NE(stream.block(1), stream.block(1 + (uint64_t{1} << 32)));
}

TEST(RandomStreamTest, UniformIsUniform) {
  const RandomStream stream(1, "test");
  constexpr int kDraws = 100000, kBins = 20;
  std::vector<int> bins(kBins);
  for (uint64_t i = 0; i < kDraws; ++i) {
    const float x = stream.uniform(i);
    ASSERT_GE(x, 0.0f);
    ASSERT_LT(x, 1.0f);
    ++bins[static_cast<size_t>(x * kBins)];
  }
  double chi2 = 0;
  for (const int count : bins) {
    const double off = count - kDraws / kBins;
    chi2 += off * off / (kDraws / kBins);
  }
  EXPECT_LT(chi2, 43.8);  // 19 degrees of freedom: p = 0.001
}

TEST(RandomStreamTest, NormalHasTheMomentsOfANormal) {
  const RandomStream stream(2, "test");
  constexpr int kDraws = 200000;
  double sum = 0, square = 0, fourth = 0, pairs = 0, last = 0;
  for (uint64_t i = 0; i < kDraws; ++i) {
    const double x = stream.normal(i);
    ASSERT_TRUE(std::isfinite(x));
    sum += x;
    square += x * x;
    fourth += x * x * x * x;
    pairs += x * last;
    last = x;
  }
  // Four standard errors: 1, sqrt(2), sqrt(96) and 1 over sqrt(n).
  const double error = 4 / std::sqrt(kDraws);
  EXPECT_NEAR(sum / kDraws, 0, error);
  EXPECT_NEAR(square / kDraws, 1, error * std::sqrt(2.0));
  EXPECT_NEAR(fourth / kDraws, 3, error * std::sqrt(96.0));
  EXPECT_NEAR(pairs / kDraws, 0, error);
}

TEST(RandomStreamTest, BelowStaysBelowAndReachesAll) {
  const RandomStream stream(3, "test");
  for (const uint64_t bound : {uint64_t{1}, uint64_t{2}, uint64_t{7}, uint64_t{1000}}) {
    std::set<uint64_t> seen;
    for (uint64_t i = 0; i < bound * 20; ++i) {
      const uint64_t x = stream.below(i, bound);
      ASSERT_LT(x, bound);
      seen.insert(x);
    }
    EXPECT_EQ(seen.size(), bound);
  }
  uint64_t largest = 0;
  const uint64_t bound = uint64_t{1} << 60;
  for (uint64_t i = 0; i < 100; ++i) largest = std::max(largest, stream.below(i, bound));
  EXPECT_LT(largest, bound);
  EXPECT_GT(largest, bound / 4 * 3);
}

}  // namespace
}  // namespace ashlar
