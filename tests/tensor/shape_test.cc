#include "ashlar/tensor/shape.h"

#include "ashlar/base/error.h"
#include "tests/base/messages.h"

#include <gtest/gtest.h>

#include <vector>

namespace ashlar {
namespace {

TEST(ShapeTest, AScalarHasOneElement) {
  const Shape scalar;
  EXPECT_EQ(scalar.rank(), 0);
  EXPECT_EQ(scalar.elements(), 1);
  EXPECT_EQ(scalar.row_elements(), 1);
  EXPECT_EQ(scalar.str(), "[]");
}

TEST(ShapeTest, Elements) {
  EXPECT_EQ(Shape({2, 3, 5}).elements(), 30);
  EXPECT_EQ(Shape({2, 3, 5}).row_elements(), 15);
  EXPECT_EQ(Shape({7}).row_elements(), 1);
  EXPECT_EQ(Shape({4, 0, 3}).elements(), 0);
  EXPECT_EQ(Shape({1 << 20, 1 << 20}).elements(), int64_t{1} << 40);
  EXPECT_EQ(Shape({2, 3}).str(), "[2, 3]");
}

TEST(ShapeTest, ComparesRankAndDims) {
  EXPECT_EQ(Shape({2, 3}), Shape({2, 3}));
  EXPECT_NE(Shape({2, 3}), Shape({3, 2}));
  EXPECT_NE(Shape({2}), Shape({2, 1}));
  Shape changed = {2, 3};
  changed[1] = 4;
  EXPECT_EQ(changed, Shape({2, 4}));
}

TEST(ShapeTest, AtMostSixDims) {
  EXPECT_EQ(Shape({1, 2, 3, 4, 5, 6}).elements(), 720);
  EXPECT_EQ(ashlar::testing::error_of([] { Shape shape(std::vector<int64_t>(7, 1)); }),
            "shape: 7 dims, at most 6 are supported");
}

}  // namespace
}  // namespace ashlar
