// Attention over the keys of the batch, forward.
#include "tests/kernels/attention_case.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace ashlar::kernels {
namespace {

class Attention : public TierTest {};
ASHLAR_TEST_EACH_TIER(Attention);

// A score carries the rounding of a whole dot product and is exponentiated.
constexpr double kToleranceFactor = 2;

TEST_P(Attention, MatchesReference) {
  for (const AttentionExample& example : attention_examples()) {
    SCOPED_TRACE(testing::Message() << example);
    const AttentionOutputs found =
        run_attention(table(), teams()[0], example.shape, example.inputs);
    expect_close(found.out, example.wanted.out, "out", kToleranceFactor);
    expect_close(found.lse, example.wanted.lse, "lse");
  }
}

TEST_P(Attention, BitsDoNotDependOnThreads) {
  for (const AttentionExample& example : attention_examples()) {
    const auto run = [&](TestTeam& team) {
      return run_attention(table(), team, example.shape, example.inputs);
    };
    const AttentionOutputs alone = run(teams()[0]);
    EXPECT_EQ(run(teams()[1]), alone) << example;
    EXPECT_EQ(run(teams()[2]), alone) << example;
  }
}

TEST_P(Attention, ASequenceAloneHasTheBitsItHasInABatch) {
  for (const AttentionExample& example : attention_examples()) {
    const AttentionCase& shape = example.shape;
    const AttentionOutputs batch = run_attention(table(), teams()[1], shape, example.inputs);
    int64_t row = 0;
    for (const int32_t length : shape.lengths) {
      if (length == 0) continue;
      const AttentionCase one = shape.sequence(row, length);
      const AttentionOutputs alone =
          run_attention(table(), teams()[0], one, example.inputs.rows(row, length));
      const int64_t width = shape.heads * shape.values();
      EXPECT_EQ(alone.out, batch.out.slice(row * width, length * width)) << example;
      EXPECT_EQ(alone.lse, batch.lse.slice(row * shape.heads, length * shape.heads)) << example;
      row += length;
    }
  }
}

// Rows see nothing of keys behind the causal bound or before the window, not even a NaN; so a
// prefix of a causal sequence has the bits it has in the whole.
TEST_P(Attention, KeysThatARowDoesNotSeeDoNotTouchIt) {
  AttentionCase shape{{200}, 2, 2, 20, {.causal = true, .window = 70, .scale = 0.25f}};
  const AttentionInputs inputs(shape, DType::kF32);
  const AttentionOutputs clean = run_attention(table(), teams()[0], shape, inputs);
  for (const int64_t poisoned : {0, 63, 64, 101, 199}) {
    AttentionInputs other = inputs;
    float* k = other.qkv.floats() + poisoned * shape.fused_width() + shape.heads * shape.head_dim;
    std::fill_n(k, 2 * shape.kv_heads * shape.head_dim, __builtin_nanf(""));
    const AttentionOutputs found = run_attention(table(), teams()[0], shape, other);
    const int64_t width = shape.heads * shape.head_dim;
    const int64_t last = std::min<int64_t>(poisoned + shape.mask.window, 200);
    EXPECT_EQ(found.out.slice(0, poisoned * width), clean.out.slice(0, poisoned * width));
    EXPECT_EQ(found.out.slice(last * width, (200 - last) * width),
              clean.out.slice(last * width, (200 - last) * width));
    for (const double x : found.out.slice(poisoned * width, (last - poisoned) * width).values()) {
      ASSERT_TRUE(std::isnan(x));
    }
  }
}

TEST_P(Attention, PrefixOfACausalSequenceHasTheSameBits) {
  AttentionCase shape{{600}, 2, 1, 64, {.causal = true, .scale = 0.125f}};
  const AttentionInputs inputs(shape, DType::kF32);
  const AttentionOutputs whole = run_attention(table(), teams()[0], shape, inputs);
  for (const int32_t length : {1, 33, 64, 95, 512, 513}) {
    AttentionCase prefix = shape;
    prefix.lengths = {length};
    const AttentionOutputs found =
        run_attention(table(), teams()[0], prefix, inputs.rows(0, length));
    EXPECT_EQ(found.out, whole.out.slice(0, length * 2 * 64)) << length;
  }
}

TEST(AttentionTiers, VectorTiersGiveEqualBits) {
  const std::vector<IsaTier> tiers = runnable_vector_tiers();
  if (tiers.empty()) GTEST_SKIP() << "tier avx2 cannot run on this processor";
  TestTeam team(1);
  for (const AttentionExample& example : attention_examples()) {
    const auto run = [&](IsaTier tier) {
      return run_attention(kernel_table(tier), team, example.shape, example.inputs);
    };
    const AttentionOutputs first = run(tiers[0]);
    for (const IsaTier tier : tiers) EXPECT_EQ(run(tier), first) << name(tier) << ": " << example;
  }
}

}  // namespace
}  // namespace ashlar::kernels
