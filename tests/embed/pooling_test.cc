#include "ashlar/embed/pooling.h"

#include <gmock/gmock.h>

#include <cmath>

namespace ashlar::embed {
namespace {

using ::testing::ElementsAre;
using ::testing::FloatEq;

TEST(Pooling, OfThreeTokens) {
  const std::vector<float> rows = {1, -2, 4, 5, 1, 0};
  EXPECT_THAT(pool(Pooling::kMean, rows, 2), ElementsAre(2, 1));
  EXPECT_THAT(pool(Pooling::kCls, rows, 2), ElementsAre(1, -2));
  EXPECT_THAT(pool(Pooling::kLast, rows, 2), ElementsAre(1, 0));
  EXPECT_THAT(pool(Pooling::kMax, rows, 2), ElementsAre(4, 5));
  EXPECT_THAT(pool(Pooling::kWeightedMean, rows, 2), ElementsAre(2, FloatEq(8.0f / 6)));
  const float root = std::sqrt(3.0f);
  EXPECT_THAT(pool(Pooling::kMeanSqrt, rows, 2), ElementsAre(FloatEq(6 / root), FloatEq(3 / root)));
}

TEST(Pooling, NormalizesAllButZeros) {
  std::vector<float> vector = {3, -4};
  normalize(vector);
  EXPECT_THAT(vector, ElementsAre(FloatEq(0.6f), FloatEq(-0.8f)));
  std::vector<float> zeros = {0, 0};
  normalize(zeros);
  EXPECT_THAT(zeros, ElementsAre(0, 0));
}

}  // namespace
}  // namespace ashlar::embed
