// Attention over the keys of the batch, backward.
#include "tests/kernels/attention_case.h"

#include <gtest/gtest.h>

namespace ashlar::kernels {
namespace {

class AttentionGrad : public TierTest {};
ASHLAR_TEST_EACH_TIER(AttentionGrad);

// Gradients sum products of probabilities, which carry the rounding of a whole dot product, with
// differences d_out v - delta that cancel.
constexpr double kToleranceFactor = 4;

// The reference's outputs, rounded: what the forward kernel would have left.
AttentionOutputs reference_outputs(const AttentionExample& example) {
  return {Array(example.inputs.qkv.dtype(), example.wanted.out),
          Array(DType::kF32, example.wanted.lse)};
}

AttentionGradients run(const KernelTable& table, TestTeam& team, const AttentionExample& example) {
  return run_attention_grad(table, team, example.shape, example.inputs, reference_outputs(example),
                            example.d_out);
}

TEST_P(AttentionGrad, MatchesReference) {
  for (const AttentionExample& example : attention_examples()) {
    SCOPED_TRACE(testing::Message() << example);
    const AttentionGradients found = run(table(), teams()[0], example);
    expect_close(found.d_q, example.wanted.d_q, "d_q", kToleranceFactor);
    expect_close(found.d_k, example.wanted.d_k, "d_k", kToleranceFactor);
    expect_close(found.d_v, example.wanted.d_v, "d_v", kToleranceFactor);
  }
}

// Cases of one long sequence and few heads are shared by blocks and tiles among several threads,
// the others by sequence.
TEST_P(AttentionGrad, BitsDoNotDependOnThreads) {
  for (const AttentionExample& example : attention_examples()) {
    const AttentionGradients alone = run(table(), teams()[0], example);
    EXPECT_EQ(run(table(), teams()[1], example), alone) << example;
    EXPECT_EQ(run(table(), teams()[2], example), alone) << example;
  }
}

TEST_P(AttentionGrad, ASequenceAloneHasTheBitsItHasInABatch) {
  for (const AttentionExample& example : attention_examples()) {
    const AttentionCase& shape = example.shape;
    const AttentionOutputs outputs = reference_outputs(example);
    const AttentionGradients batch = run(table(), teams()[1], example);
    const int64_t q_width = shape.heads * shape.head_dim, width = shape.heads * shape.values();
    const int64_t k_width = shape.kv_heads * shape.head_dim;
    const int64_t v_width = shape.kv_heads * shape.values();
    int64_t row = 0;
    for (const int32_t length : shape.lengths) {
      if (length == 0) continue;
      const AttentionCase one = shape.sequence(row, length);
      const AttentionOutputs one_outputs{
          outputs.out.slice(row * width, length * width),
          outputs.lse.slice(row * shape.heads, length * shape.heads)};
      const AttentionGradients alone =
          run_attention_grad(table(), teams()[0], one, example.inputs.rows(row, length),
                             one_outputs, example.d_out.slice(row * width, length * width));
      EXPECT_EQ(alone.d_q, batch.d_q.slice(row * q_width, length * q_width)) << example;
      EXPECT_EQ(alone.d_k, batch.d_k.slice(row * k_width, length * k_width)) << example;
      EXPECT_EQ(alone.d_v, batch.d_v.slice(row * v_width, length * v_width)) << example;
      row += length;
    }
  }
}

TEST(AttentionGradTiers, VectorTiersGiveEqualBits) {
  const std::vector<IsaTier> tiers = runnable_vector_tiers();
  if (tiers.empty()) GTEST_SKIP() << "tier avx2 cannot run on this processor";
  TestTeam team(1);
  for (const AttentionExample& example : attention_examples()) {
    const AttentionGradients first = run(kernel_table(tiers[0]), team, example);
    for (const IsaTier tier : tiers) {
      EXPECT_EQ(run(kernel_table(tier), team, example), first) << name(tier) << ": " << example;
    }
  }
}

}  // namespace
}  // namespace ashlar::kernels
