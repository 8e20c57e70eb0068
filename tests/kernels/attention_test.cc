// Attention over the keys of the batch, forward.
#include "tests/kernels/attention_case.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace ashlar::kernels {
namespace {

class Attention : public TierTest {};
ASHLAR_TEST_EACH_TIER(Attention);

constexpr DType kDtypes[] = {DType::kF32, DType::kBF16};

TEST_P(Attention, MatchesReference) {
  for (const AttentionCase& shape : attention_cases()) {
    for (const DType dtype : kDtypes) {
      SCOPED_TRACE(testing::Message() << shape << ", " << name(dtype));
      const AttentionInputs inputs(shape, dtype);
      const AttentionReference wanted = attention_reference(shape, inputs, {});
      const AttentionOutputs found = run_attention(table(), teams()[0], shape, inputs);
      expect_close(found.out, wanted.out, "out");
      expect_close(found.lse, wanted.lse, "lse");
    }
  }
}

TEST_P(Attention, BitsDoNotDependOnThreads) {
  for (const AttentionCase& shape : attention_cases()) {
    const AttentionInputs inputs(shape, DType::kF32);
    const AttentionOutputs alone = run_attention(table(), teams()[0], shape, inputs);
    for (TestTeam& team : teams()) {
      EXPECT_EQ(run_attention(table(), team, shape, inputs), alone) << shape;
    }
  }
}

TEST_P(Attention, ASequenceAloneHasTheBitsItHasInABatch) {
  for (const AttentionCase& shape : attention_cases()) {
    for (const DType dtype : kDtypes) {
      const AttentionInputs inputs(shape, dtype);
      const AttentionOutputs batch = run_attention(table(), teams()[1], shape, inputs);
      int64_t row = 0;
      for (const int32_t length : shape.lengths) {
        AttentionCase one = shape;
        one.lengths = {length};
        const AttentionOutputs alone =
            run_attention(table(), teams()[0], one, inputs.rows(row, length));
        const int64_t width = shape.heads * shape.head_dim;
        EXPECT_EQ(alone.out, batch.out.slice(row * width, length * width)) << shape;
        EXPECT_EQ(alone.lse, batch.lse.slice(row * shape.heads, length * shape.heads)) << shape;
        row += length;
      }
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
  for (const AttentionCase& shape : attention_cases()) {
    for (const DType dtype : kDtypes) {
      const AttentionInputs inputs(shape, dtype);
      const AttentionOutputs first = run_attention(kernel_table(tiers[0]), team, shape, inputs);
      for (const IsaTier tier : tiers) {
        EXPECT_EQ(run_attention(kernel_table(tier), team, shape, inputs), first)
            << name(tier) << ": " << shape;
      }
    }
  }
}

}  // namespace
}  // namespace ashlar::kernels
