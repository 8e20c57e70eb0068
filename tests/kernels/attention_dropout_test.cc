// Dropout of attention's probabilities: which are dropped, and what that leaves on average. That
// the kernels agree with the reference is in attention_test.cc and attention_grad_test.cc.
#include "ashlar/base/philox.h"
#include "tests/kernels/attention_case.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace ashlar::kernels {
namespace {

class AttentionDropoutTest : public TierTest {};
ASHLAR_TEST_EACH_TIER(AttentionDropoutTest);

// Queries of 0 see every key alike and v is the unit matrix, so element j of a head's output is
// mask / (1 - rate) / keys of key j.
AttentionInputs unit_values(const AttentionCase& shape) {
  AttentionInputs inputs(shape, DType::kF32);
  float* qkv = inputs.qkv.floats();
  std::fill_n(qkv, inputs.qkv.size(), 0.0f);
  for (int64_t t = 0; t < shape.tokens(); ++t) {
    for (int64_t h = 0; h < shape.kv_heads; ++h) {
      const int64_t head = shape.heads + shape.kv_heads + h;
      qkv[t * shape.fused_width() + head * shape.head_dim + t] = 1;
    }
  }
  return inputs;
}

constexpr int64_t kKeys = 256;
const AttentionCase kUniform = {{kKeys}, 4, 2, kKeys, {.causal = false}, {0.1f, 99, 7, 1000, 3}};

TEST_P(AttentionDropoutTest, TheMaskIsPhiloxOfHeadTokenAndKey) {
  const AttentionDropout& dropout = kUniform.dropout;
  const Array out = run_attention(table(), teams()[1], kUniform, unit_values(kUniform)).out;
  double kept = 0;
  for (int64_t i = 0; i < out.size(); ++i) {
    const int64_t t = i / (4 * kKeys), h = i / kKeys % 4, j = i % kKeys;
    const PhiloxBlock words =
        philox4x32(dropout.key, {static_cast<uint32_t>(j / 4), static_cast<uint32_t>(3 + h),
                                 static_cast<uint32_t>(1000 + t), 7});
    const bool keeps = words[static_cast<size_t>(j % 4)] >= 0.1f * 0x1p32;
    const float wanted = keeps ? 1 / ((1 - dropout.rate) * kKeys) : 0;
    ASSERT_FLOAT_EQ(out.floats()[i], wanted) << "token " << t << ", head " << h << ", key " << j;
    kept += keeps;
  }
  const auto n = static_cast<double>(out.size());
  EXPECT_NEAR(kept / n, 0.9, 4 * std::sqrt(0.1 * 0.9 / n));
}

// The average over steps is the output without dropout, as far as steps vary.
TEST_P(AttentionDropoutTest, KeepsTheMean) {
  constexpr int kSteps = 300;
  AttentionCase shape{{40}, 2, 1, 16, {.causal = true, .scale = 0.25f}};
  const AttentionInputs inputs(shape, DType::kF32);
  const std::vector<double> whole = run_attention(table(), teams()[0], shape, inputs).out.values();
  std::vector<double> sum(whole.size()), squares(whole.size());
  shape.dropout = {.rate = 0.3f, .key = 11};
  for (shape.dropout.step = 1; shape.dropout.step <= kSteps; ++shape.dropout.step) {
    const Array out = run_attention(table(), teams()[0], shape, inputs).out;
    for (size_t i = 0; i < sum.size(); ++i) {
      const double x = out.floats()[i];
      sum[i] += x;
      squares[i] += x * x;
    }
  }
  double chi = 0;
  for (size_t i = 0; i < sum.size(); ++i) {
    const double mean = sum[i] / kSteps;
    const double variance = squares[i] / kSteps - mean * mean;
    const double z = (mean - whole[i]) / std::sqrt(variance / kSteps);
    EXPECT_LT(std::abs(z), 5) << i;
    chi += z * z;
  }
  // The 16 elements of a row share a mask, so there are fewer than sum.size() free ones.
  EXPECT_NEAR(chi / static_cast<double>(sum.size()), 1, 0.3);
}

TEST_P(AttentionDropoutTest, AtRateZeroTheBitsAreThoseWithoutIt) {
  AttentionCase shape{{130, 9}, 4, 2, 33, {.causal = true, .scale = 0.2f}};
  const AttentionInputs inputs(shape, DType::kF32);
  const AttentionOutputs plain = run_attention(table(), teams()[0], shape, inputs);
  shape.dropout = {.rate = 0, .key = 5, .step = 3, .first_token = 10};
  EXPECT_EQ(run_attention(table(), teams()[0], shape, inputs), plain);
}

// The log-sum-exp is that of all keys; what is dropped depends on key and step.
TEST_P(AttentionDropoutTest, KeyAndStepChangeTheMaskOnly) {
  AttentionCase shape{{130, 9}, 4, 2, 33, {.causal = true, .scale = 0.2f}};
  const AttentionInputs inputs(shape, DType::kF32);
  const Array lse = run_attention(table(), teams()[0], shape, inputs).lse;
  std::vector<Array> outs;
  for (const AttentionDropout& dropout :
       {AttentionDropout{0.2f, 5, 3, 0, 0}, {0.2f, 6, 3, 0, 0}, {0.2f, 5, 4, 0, 0}}) {
    shape.dropout = dropout;
    const AttentionOutputs found = run_attention(table(), teams()[0], shape, inputs);
    EXPECT_EQ(found.lse, lse);
    for (const Array& other : outs) EXPECT_FALSE(found.out == other);
    outs.push_back(found.out);
  }
}

// A head alone, as where heads are split: the mask is that of its number in the model.
TEST_P(AttentionDropoutTest, AHeadAloneHasTheBitsItHasAmongAll) {
  constexpr int64_t kHeads = 3, kDim = 20, kTokens = 70;
  AttentionCase all{{kTokens}, kHeads, kHeads, kDim, {.causal = true, .scale = 0.2f}};
  all.dropout = {.rate = 0.3f, .key = 5, .step = 3, .first_token = 40};
  const AttentionInputs inputs(all, DType::kF32);
  const AttentionOutputs whole = run_attention(table(), teams()[0], all, inputs);
  const Array d_out(DType::kF32, random_values("d_out", whole.out.size()));
  const Array d_v = run_attention_grad(table(), teams()[0], all, inputs, whole, d_out).d_v;
  const auto columns = [&](const Array& from, int64_t head) {  // of [T,H,D]
    Array to(DType::kF32, kTokens * kDim);
    for (int64_t t = 0; t < kTokens; ++t) {
      std::copy_n(from.floats() + (t * kHeads + head) * kDim, kDim, to.floats() + t * kDim);
    }
    return to;
  };
  for (int64_t head = 0; head < kHeads; ++head) {
    AttentionCase one = all;
    one.heads = one.kv_heads = 1;
    one.dropout.first_head = head;
    AttentionInputs part(one, DType::kF32);
    for (int64_t i = 0; i < part.qkv.size(); ++i) {
      const int64_t t = i / (3 * kDim), which = i / kDim % 3, d = i % kDim;
      part.qkv.floats()[i] = inputs.qkv.floats()[((3 * t + which) * kHeads + head) * kDim + d];
    }
    const AttentionOutputs alone = run_attention(table(), teams()[0], one, part);
    EXPECT_EQ(alone.out, columns(whole.out, head)) << head;
    EXPECT_EQ(run_attention_grad(table(), teams()[0], one, part, alone, columns(d_out, head)).d_v,
              columns(d_v, head))
        << head;
  }
}

}  // namespace
}  // namespace ashlar::kernels
