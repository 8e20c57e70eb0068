// FLOPs and bytes that ops report, against counts by enumeration.
#include "ashlar/graph/ops/attention.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/loss.h"
#include "ashlar/graph/ops/norm.h"
#include "ashlar/graph/ops/rows.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ashlar::graph {
namespace {

Operand operand(Shape shape, DType dtype = DType::kF32) { return {nullptr, dtype, shape}; }
Operand integers(std::vector<int32_t>& values) {
  return {reinterpret_cast<std::byte*>(values.data()), DType::kI32,
          Shape{static_cast<int64_t>(values.size())}};
}
Operand absent() { return {nullptr, DType::kF32, Shape{0}, false}; }

// Query-key pairs that the mask lets through, one by one: queries are the last of `keys` positions.
int64_t pairs(const kernels::AttentionMask& mask, int64_t queries, int64_t keys) {
  int64_t count = 0;
  for (int64_t q = keys - queries; q < keys; ++q) {
    for (int64_t k = 0; k < keys; ++k) {
      const bool future = mask.causal && k > q;
      const bool left_behind = mask.window > 0 && k <= q - mask.window;
      const bool too_far_ahead = mask.window > 0 && k >= q + mask.window;
      if (!future && !left_behind && !too_far_ahead) ++count;
    }
  }
  return count;
}

const kernels::AttentionMask kMasks[] = {{.causal = false},
                                         {.causal = true},
                                         {.causal = true, .window = 1},
                                         {.causal = true, .window = 5},
                                         {.causal = true, .window = 100},
                                         {.causal = false, .window = 1},
                                         {.causal = false, .window = 5},
                                         {.causal = false, .window = 100}};

TEST(Cost, LinearCountsItsProducts) {
  const LinearOp op;
  const Operand x = operand({7, 9}), w = operand({11, 9}), y = operand({7, 11});
  const Operand down = operand({7, 3}), up = operand({11, 3});
  const std::vector<Operand> plain = {x, w, absent(), absent(), absent(), absent()};
  EXPECT_EQ(op.cost(plain, {&y, 1}).flops, 2.0 * 7 * 9 * 11);
  EXPECT_EQ(op.cost(plain, {&y, 1}).bytes, 4.0 * (7 * 9 + 11 * 9 + 7 * 11));
  const std::vector<Operand> low_rank = {x, w, absent(), absent(), down, up};
  EXPECT_EQ(op.cost(low_rank, {&y, 1}).flops, 2.0 * 7 * 11 * (9 + 3));
  const std::vector<Operand> input_grad = {y, w, absent()};
  EXPECT_EQ(LinearInputGradOp().cost(input_grad, {&x, 1}).flops, 2.0 * 7 * 9 * 11);
  const std::vector<Operand> weight_grad = {y, x, w};
  EXPECT_EQ(LinearWeightGradOp(true).cost(weight_grad, {&w, 1}).flops, 2.0 * 7 * 9 * 11);
}

TEST(Cost, AttentionCountsVisiblePairs) {
  constexpr int64_t kHeads = 4, kDim = 8;
  for (const auto& mask : kMasks) {
    std::vector<int32_t> row_start = {0, 1, 8, 20, 20, 53};
    int64_t visible = 0;
    for (size_t s = 0; s + 1 < row_start.size(); ++s) {
      const int64_t length = row_start[s + 1] - row_start[s];
      visible += pairs(mask, length, length);
    }
    const Operand q = operand({53, kHeads * kDim}), kv = operand({53, 2 * kDim});
    const AttentionSpec spec{kHeads, 2, kDim, mask};
    const std::vector<Operand> in = {q, kv, kv, integers(row_start)};
    const std::vector<Operand> out = {q, operand({53, kHeads})};
    EXPECT_EQ(AttentionOp(spec).cost(in, out).flops,
              4.0 * static_cast<double>(visible * kHeads * kDim))
        << "window " << mask.window;
    const std::vector<Operand> grad_in = {q, kv, kv, integers(row_start), q, out[1], q};
    EXPECT_EQ(AttentionGradOp(spec).cost(grad_in, {in.data(), 3}).flops,
              8.0 * static_cast<double>(visible * kHeads * kDim));
    // Dropout keeps no mask in memory and drops no product.
    AttentionSpec dropped = spec;
    dropped.dropout = 0.1;
    EXPECT_EQ(AttentionOp(dropped).cost(in, out).flops, AttentionOp(spec).cost(in, out).flops);
    EXPECT_EQ(AttentionOp(dropped).cost(in, out).bytes, AttentionOp(spec).cost(in, out).bytes);
  }
}

TEST(Cost, PagedAttentionCountsTheContext) {
  constexpr int64_t kHeads = 4, kDim = 8;
  for (const auto& mask : kMasks) {
    std::vector<int32_t> row_start = {0, 1, 4, 13}, context = {40, 3, 20};
    const int64_t visible = pairs(mask, 1, 40) + pairs(mask, 3, 3) + pairs(mask, 9, 20);
    const Operand q = operand({13, kHeads * kDim});
    const std::vector<Operand> in = {q,
                                     operand({6, 2, kDim, 16}),
                                     operand({6, 2, 16, kDim}),
                                     integers(row_start),
                                     integers(context),
                                     operand({3, 3}, DType::kI32)};
    const PagedAttentionOp op({kHeads, 2, kDim, mask});
    EXPECT_EQ(op.cost(in, {&q, 1}).flops, 4.0 * static_cast<double>(visible * kHeads * kDim))
        << "window " << mask.window;
  }
}

TEST(Cost, LossCountsEachProductOnce) {
  std::vector<int32_t> targets(5);
  const Operand x = operand({5, 8}), w = operand({30, 8}), loss = operand({1}, DType::kF64);
  const std::vector<Operand> in = {x, w, integers(targets), operand({1}), w};
  const double product = 2.0 * 5 * 8 * 30;
  EXPECT_EQ(LinearCrossEntropyOp().cost(std::span(in).first(4), {&loss, 1}).flops, product);
  const std::vector<Operand> out = {loss, x, w};
  using Grad = LinearCrossEntropyGradOp;
  EXPECT_EQ(Grad({.loss = true, .input_grad = true, .weight_grad = true}).cost(in, out).flops,
            3 * product);
  // A half that computes the logits again is not credited for it.
  EXPECT_EQ(Grad({.input_grad = true}).cost(in, {&x, 1}).flops, product);
}

TEST(Cost, LookUpsAndNormsCountNoFlops) {
  std::vector<int32_t> ids(3);
  const Operand table = operand({1000, 8}), y = operand({3, 8});
  const std::vector<Operand> gather = {table, integers(ids), absent()};
  const Cost look_up = GatherRowsOp(DType::kF32).cost(gather, {&y, 1});
  EXPECT_EQ(look_up.flops, 0);
  EXPECT_EQ(look_up.bytes, 4.0 * (3 * 8 + 3 + 3 * 8));  // of the table three rows
  const std::vector<Operand> norm = {y, operand({8}), absent()}, out = {y, operand({3})};
  EXPECT_EQ(NormOp({NormKind::kRms, 1e-5}).cost(norm, out).flops, 0);
  EXPECT_EQ(NormOp({NormKind::kRms, 1e-5}).cost(norm, out).bytes, 4.0 * (24 + 8 + 24 + 3));
}

}  // namespace
}  // namespace ashlar::graph
