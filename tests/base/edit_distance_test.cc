#include "ashlar/base/edit_distance.h"

#include <gtest/gtest.h>

#include <vector>

namespace ashlar {
namespace {

TEST(EditDistanceTest, CountsEdits) {
  EXPECT_EQ(edit_distance("", ""), 0);
  EXPECT_EQ(edit_distance("abc", ""), 3);
  EXPECT_EQ(edit_distance("", "abc"), 3);
  EXPECT_EQ(edit_distance("kitten", "sitting"), 3);
  EXPECT_EQ(edit_distance("steps", "stpes"), 1);  // a swap is one
  EXPECT_EQ(edit_distance("batch", "batch"), 0);
  EXPECT_EQ(edit_distance("ca", "abc"), 3);  // nothing is edited between swapped letters
}

TEST(EditDistanceTest, NearestOrNone) {
  const std::vector<std::string> keys = {"train.lr", "train.steps", "model.family"};
  EXPECT_EQ(nearest("train.lrr", keys), "train.lr");
  EXPECT_EQ(nearest("trian.stpes", keys), "train.steps");
  EXPECT_EQ(nearest("serve.port", keys), std::nullopt);
  EXPECT_EQ(nearest("x", {}), std::nullopt);
}

}  // namespace
}  // namespace ashlar
