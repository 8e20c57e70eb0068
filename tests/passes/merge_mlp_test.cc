// What merge_mlps merges, with the bits of the ops it replaces, and what it leaves alone.
#include "ashlar/passes/merge_mlp.h"

#include "ashlar/base/cpu.h"
#include "ashlar/graph/builder.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/passes/pack.h"
#include "ashlar/passes/store_weights.h"
#include "tests/passes/packed_run.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ashlar::passes {
namespace {

constexpr int64_t kWidth = 64, kInner = 288;

struct MlpOptions {
  bool gate_bias = false, up_adapter = false, activated = false, between_is_output = false;
  DType weights = DType::kQ8_0, activations = DType::kF32;
};

// x + MLP(x), with a bias behind the last product.
graph::Graph mlp(const MlpOptions& options) {
  graph::Graph graph;
  graph::Builder b(graph);
  const auto parameter = [&](const char* name, Shape shape) {
    return b.parameter(name, shape, {}, {graph::Init::Kind::kNormal, 0.1f, {}});
  };
  const auto x = b.input("x", options.activations, {graph::Symbol::kTokens, kWidth});
  graph::LinearOptions of_gate, of_up;
  if (options.gate_bias) of_gate.bias = parameter("gate.bias", {kInner});
  if (options.up_adapter) {
    of_up.low_rank_down = graph::linear(b, x, parameter("a", {4, kWidth}), {}, "a");
    of_up.low_rank_up = parameter("b", {kInner, 4});
  }
  if (options.activated) of_up.activation = kernels::Activation::kRelu;
  const auto gate = graph::linear(b, x, parameter("gate", {kInner, kWidth}), of_gate, "gate");
  const auto up = graph::linear(b, x, parameter("up", {kInner, kWidth}), of_up, "up");
  const auto between = graph::gated(b, gate, up, kernels::Activation::kSilu, "act");
  if (options.between_is_output) graph.mark_output("between", between);
  graph.mark_output(
      "y", graph::linear(b, between, parameter("down", {kWidth, kInner}),
                         {.bias = parameter("down.bias", {kWidth}), .residual = x}, "down"));
  return graph;
}

graph::Graph packed(const MlpOptions& options, IsaTier tier) {
  return pack(store_weights(mlp(options), all_in(options.weights)), kernels::kernel_table(tier));
}

int64_t merged(const graph::Graph& graph) {
  return std::ranges::count_if(
      graph.nodes(), [](const graph::Node& node) { return node.op->kind() == "gated_mlp"; });
}

TEST(MergeMlp, LeavesWhatTheKernelDoesNotCompute) {
  const auto count = [](const MlpOptions& options) {
    return merged(packed(options, IsaTier::kScalar));
  };
  EXPECT_EQ(count({}), 1);
  EXPECT_EQ(count({.weights = DType::kQ4_0}), 1);
  EXPECT_EQ(count({.gate_bias = true}), 0);
  EXPECT_EQ(count({.up_adapter = true}), 0);
  EXPECT_EQ(count({.activated = true}), 0);
  EXPECT_EQ(count({.between_is_output = true}), 0);
  EXPECT_EQ(count({.weights = DType::kF16}), 0);
  EXPECT_EQ(count({.activations = DType::kBF16}), 0);
}

TEST(MergeMlp, KeepsEveryBit) {
  for (const IsaTier tier : all_isa_tiers()) {
    if (!can_run(tier)) continue;
    for (const int64_t tokens : {1, 7, 50}) {
      const graph::Graph apart = packed({.between_is_output = true}, tier);
      EXPECT_EQ(run_packed(packed({}, tier), tier, tokens, kWidth).at("y"),
                run_packed(apart, tier, tokens, kWidth).at("y"))
          << name(tier) << ", " << tokens << " tokens";
    }
  }
}

}  // namespace
}  // namespace ashlar::passes
