#include "ashlar/models/rope_table.h"

#include <gtest/gtest.h>

#include <cmath>
#include <numbers>

namespace ashlar::models {
namespace {

RopeConfig llama31() {
  RopeConfig rope;
  rope.theta = 500000;
  rope.rotary_dim = 128;
  rope.scaling = RopeScaling::kLlama3;
  rope.factor = 8;
  rope.low_freq_factor = 1;
  rope.high_freq_factor = 4;
  rope.original_max_positions = 8192;
  return rope;
}

RopeConfig plain(RopeConfig rope) {
  rope.scaling = RopeScaling::kDefault;
  return rope;
}

TEST(RopeTable, HoldsCosinesThenSines) {
  RopeConfig rope;
  rope.rotary_dim = 4;
  const std::vector<float> table = rope_table(rope, 3);
  ASSERT_EQ(table.size(), 12u);
  EXPECT_EQ(table[0], 1.0f);
  EXPECT_EQ(table[2], 0.0f);
  EXPECT_FLOAT_EQ(table[8], static_cast<float>(std::cos(2.0)));
  EXPECT_FLOAT_EQ(table[9], static_cast<float>(std::cos(0.02)));
  EXPECT_FLOAT_EQ(table[10], static_cast<float>(std::sin(2.0)));
  EXPECT_FLOAT_EQ(table[11], static_cast<float>(std::sin(0.02)));
}

TEST(RopeTable, LinearDividesEveryFrequency) {
  RopeConfig rope = plain(llama31());
  const std::vector<double> before = rope_frequencies(rope);
  rope.scaling = RopeScaling::kLinear;
  rope.factor = 4;
  const std::vector<double> after = rope_frequencies(rope);
  for (size_t i = 0; i < before.size(); ++i) EXPECT_DOUBLE_EQ(after[i], before[i] / 4);
}

// transformers' formula by wavelengths, as the reference; ours counts turns.
TEST(RopeTable, Llama3StretchesLongWaves) {
  const RopeConfig rope = llama31();
  const std::vector<double> before = rope_frequencies(plain(rope)), after = rope_frequencies(rope);
  int kept = 0, divided = 0, blended = 0;
  for (size_t i = 0; i < before.size(); ++i) {
    const double wave = 2 * std::numbers::pi / before[i];
    if (wave < 8192.0 / 4) {
      ++kept;
      EXPECT_DOUBLE_EQ(after[i], before[i]);
    } else if (wave > 8192.0 / 1) {
      ++divided;
      EXPECT_DOUBLE_EQ(after[i], before[i] / 8);
    } else {
      ++blended;
      const double smooth = (8192.0 / wave - 1) / (4 - 1);
      EXPECT_NEAR(after[i], (1 - smooth) * before[i] / 8 + smooth * before[i], 1e-15);
    }
  }
  EXPECT_EQ(kept + divided + blended, 64);
  EXPECT_GT(kept, 20);
  EXPECT_GT(divided, 20);
  EXPECT_GT(blended, 3);
}

}  // namespace
}  // namespace ashlar::models
