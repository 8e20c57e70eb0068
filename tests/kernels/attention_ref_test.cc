// The references themselves: gradients by central differences, and attention over a paged cache
// against attention over the keys in the batch.
#include "ashlar/kernels/ref/attention.h"
#include "tests/kernels/array.h"
#include "tests/kernels/central_differences.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace ashlar::kernels {
namespace {

constexpr int64_t kHeads = 4, kKvHeads = 2, kHeadDim = 5;
const std::vector<int32_t> kRowStart = {0, 3, 3, 4, 11};  // one sequence is empty
constexpr int64_t kTokens = 11;

struct Inputs {
  std::vector<double> q = random_values("q", kTokens* kHeads* kHeadDim);
  std::vector<double> k = random_values("k", kTokens* kKvHeads* kHeadDim);
  std::vector<double> v = random_values("v", kTokens* kKvHeads* kHeadDim);
};

struct Outputs {
  std::vector<double> out = std::vector<double>(kTokens * kHeads * kHeadDim);
  std::vector<double> lse = std::vector<double>(kTokens * kHeads);
};

ref::AttentionArgs arguments(const AttentionMask& mask, const Inputs& in, Outputs& outputs) {
  ref::AttentionArgs args;
  args.mask = mask;
  args.tokens = kTokens;
  args.seqs = static_cast<int64_t>(kRowStart.size()) - 1;
  args.heads = kHeads;
  args.kv_heads = kKvHeads;
  args.head_dim = kHeadDim;
  args.row_start = kRowStart.data();
  args.q = in.q.data();
  args.k = in.k.data();
  args.v = in.v.data();
  args.q_stride = kHeads * kHeadDim;
  args.k_stride = args.v_stride = kKvHeads * kHeadDim;
  args.out = outputs.out.data();
  args.lse = outputs.lse.data();
  return args;
}

const std::vector<AttentionMask> kMasks = {
    {.causal = true, .scale = 0.5f},
    {.causal = false, .scale = 0.5f},
    {.causal = true, .window = 3, .scale = 0.5f},
    {.causal = false, .window = 2, .scale = 0.5f},
    {.causal = true, .window = 2, .scale = 0.7f, .softcap = 1.5f},
};

void check_gradients(const AttentionMask& mask, const AttentionDropout& dropout) {
  const Inputs in;
  const std::vector<double> weights = random_values("weights", kTokens * kHeads * kHeadDim);
  Outputs outputs;
  ref::AttentionGradArgs args;
  args.forward = arguments(mask, in, outputs);
  args.forward.dropout = dropout;
  ref::attention(args.forward);
  std::vector<double> d_q(in.q.size()), d_k(in.k.size()), d_v(in.v.size());
  args.d_out = weights.data();
  args.d_q = d_q.data();
  args.d_k = d_k.data();
  args.d_v = d_v.data();
  ref::attention_grad(args);

  const auto loss_in = [&](std::vector<double> Inputs::*field) {
    return [&, field](const std::vector<double>& x) {
      Inputs changed = in;
      changed.*field = x;
      Outputs other;
      ref::AttentionArgs again = arguments(mask, changed, other);
      again.dropout = dropout;
      ref::attention(again);
      return dot(other.out, weights);
    };
  };
  expect_gradient(d_q, loss_in(&Inputs::q), in.q, "d_q");
  expect_gradient(d_k, loss_in(&Inputs::k), in.k, "d_k");
  expect_gradient(d_v, loss_in(&Inputs::v), in.v, "d_v");
}

TEST(AttentionRef, GradientsAreCentralDifferences) {
  for (const AttentionMask& mask : kMasks) {
    for (const float rate : {0.0f, 0.3f, 0.8f}) {
      SCOPED_TRACE(testing::Message() << "window " << mask.window << ", dropout " << rate);
      check_gradients(mask, {.rate = rate, .key = 3, .step = 5, .first_token = 100});
    }
  }
}

TEST(AttentionRef, UniformScoresGiveTheMean) {
  Inputs in;
  std::fill(in.q.begin(), in.q.end(), 0.0);
  Outputs outputs;
  ref::attention(arguments({.causal = true, .scale = 1}, in, outputs));
  // Row 2 of the first sequence sees three keys.
  for (int64_t d = 0; d < kHeadDim; ++d) {
    double mean = 0;
    for (int64_t t = 0; t < 3; ++t) {
      mean += in.v[static_cast<size_t>(t * kKvHeads * kHeadDim + d)] / 3;
    }
    EXPECT_NEAR(outputs.out[static_cast<size_t>(2 * kHeads * kHeadDim + d)], mean, 1e-14);
  }
  EXPECT_NEAR(outputs.lse[2 * kHeads], std::log(3.0), 1e-14);
}

TEST(AttentionRef, AWindowWithoutCausalityGoesToBothSides) {
  Inputs in;
  std::fill(in.q.begin(), in.q.end(), 0.0);
  Outputs outputs;
  ref::attention(arguments({.causal = false, .window = 2, .scale = 1}, in, outputs));
  // The last sequence has rows 4 to 10: its first sees two keys, the next three.
  EXPECT_NEAR(outputs.lse[4 * kHeads], std::log(2.0), 1e-14);
  EXPECT_NEAR(outputs.lse[5 * kHeads], std::log(3.0), 1e-14);
  EXPECT_NEAR(outputs.lse[10 * kHeads], std::log(2.0), 1e-14);
  EXPECT_NEAR(outputs.lse[3 * kHeads], 0, 1e-14);
}

TEST(AttentionRef, PagedIsTheSameAsInBatch) {
  for (const AttentionMask& mask : kMasks) {
    const Inputs in;
    Outputs wanted;
    ref::attention(arguments(mask, in, wanted));

    // Blocks 4, 1, 3, 0 for the four sequences; each fits one block.
    const std::vector<int32_t> block_table = {4, 1, 3, 0};
    const std::vector<int32_t> context = {3, 0, 1, 7};
    std::vector<int32_t> slots;
    for (size_t s = 0; s < context.size(); ++s) {
      for (int32_t i = 0; i < context[s]; ++i) {
        slots.push_back(block_table[s] * static_cast<int32_t>(kCacheBlock) + i);
      }
    }
    const std::vector<double> unwritten(5 * kKvHeads * kCacheBlock * kHeadDim, std::nan(""));
    std::vector<double> k_pool = unwritten, v_pool = unwritten;
    ref::KvWriteArgs write;
    write.tokens = kTokens;
    write.kv_heads = kKvHeads;
    write.head_dim = kHeadDim;
    write.k = in.k.data();
    write.v = in.v.data();
    write.k_stride = write.v_stride = kKvHeads * kHeadDim;
    write.slots = slots.data();
    write.k_pool = k_pool.data();
    write.v_pool = v_pool.data();
    ref::kv_write(write);

    Outputs found;
    const ref::AttentionArgs shape = arguments(mask, in, found);
    ref::PagedAttentionArgs args;
    args.mask = mask;
    args.tokens = kTokens;
    args.seqs = shape.seqs;
    args.heads = kHeads;
    args.kv_heads = kKvHeads;
    args.head_dim = kHeadDim;
    args.row_start = kRowStart.data();
    args.context = context.data();
    args.block_table = block_table.data();
    args.block_table_stride = 1;
    args.q = in.q.data();
    args.q_stride = shape.q_stride;
    args.k_pool = k_pool.data();
    args.v_pool = v_pool.data();
    args.out = found.out.data();
    ref::paged_attention(args);
    EXPECT_EQ(found.out, wanted.out);
  }
}

}  // namespace
}  // namespace ashlar::kernels
