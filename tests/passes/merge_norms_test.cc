// What merge_norms merges, with the bits of the ops it replaces, and what it leaves alone.
#include "ashlar/passes/merge_norms.h"

#include "ashlar/base/cpu.h"
#include "ashlar/graph/builder.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/norm.h"
#include "ashlar/passes/pack.h"
#include "ashlar/passes/store_weights.h"
#include "tests/passes/packed_run.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ashlar::passes {
namespace {

constexpr int64_t kWidth = 320, kInner = 288;  // a super-block and a part of one

struct Options {
  graph::NormSpec norm = {};
  bool bias = false, mlp = false, read_by_others = false;
  int products = 2;
  DType weights = DType::kQ8_0;
};

// Two products of norm(x), or an MLP of it with x as the residual.
graph::Graph normalised(const Options& options) {
  graph::Graph graph;
  graph::Builder b(graph);
  const auto parameter = [&](const std::string& name, Shape shape) {
    return b.parameter(name, shape, {}, {graph::Init::Kind::kNormal, 0.1f, {}});
  };
  const auto x = b.input("x", DType::kF32, {graph::Symbol::kTokens, kWidth});
  const int64_t channels = options.norm.group > 0 ? options.norm.group : kWidth;
  const auto rows = graph::norm(
      b, x, parameter("norm", {channels}),
      options.bias ? parameter("norm.bias", {channels}) : graph::ValueId{}, options.norm, "norm");
  if (options.read_by_others) graph.mark_output("rows", rows);
  if (options.mlp) {
    const auto gate = graph::linear(b, rows, parameter("gate", {kInner, kWidth}), {}, "gate");
    const auto up = graph::linear(b, rows, parameter("up", {kInner, kWidth}), {}, "up");
    const auto between = graph::gated(b, gate, up, kernels::Activation::kSilu, "act");
    graph.mark_output("y0", graph::linear(b, between, parameter("down", {kWidth, kInner}),
                                          {.residual = x}, "down"));
    return graph;
  }
  for (int i = 0; i < options.products; ++i) {
    const std::string name = "y" + std::to_string(i);
    graph.mark_output(
        name, graph::linear(b, rows, parameter(name + ".w", {40 * (i + 1), kWidth}),
                            {.bias = parameter(name + ".bias", {40 * (i + 1)})}, "p." + name));
  }
  return graph;
}

graph::Graph packed(const Options& options, IsaTier tier) {
  return pack(store_weights(normalised(options), all_in(options.weights)),
              kernels::kernel_table(tier));
}

int64_t norms(const Options& options) {
  const graph::Graph graph = packed(options, IsaTier::kScalar);
  return std::ranges::count_if(graph.nodes(), [](const graph::Node& node) {
    return dynamic_cast<const graph::NormOp*>(node.op.get()) != nullptr;
  });
}

TEST(MergeNorms, MergesNormsOfWholeRows) {
  for (const bool mlp : {false, true}) {
    EXPECT_EQ(norms({.mlp = mlp}), 0);
    EXPECT_EQ(norms({.norm = {.kind = graph::NormKind::kLayer}, .bias = true, .mlp = mlp}), 0);
    EXPECT_EQ(norms({.mlp = mlp, .weights = DType::kQ4_0}), 0);
  }
}

TEST(MergeNorms, LeavesWhatTheKernelsDoNotCompute) {
  for (const bool mlp : {false, true}) {
    EXPECT_EQ(norms({.norm = {.group = 64}, .mlp = mlp}), 1);
    EXPECT_EQ(norms({.mlp = mlp, .read_by_others = true}), 1);
    EXPECT_EQ(norms({.mlp = mlp, .weights = DType::kF16}), 1);
  }
  EXPECT_EQ(norms({.products = 1}), 1);
}

TEST(MergeNorms, KeepsEveryBit) {
  using graph::NormKind;
  const Options all[] = {
      {},
      {.norm = {.eps = 1e-3, .zero_centred = true}, .weights = DType::kQ4_0},
      {.norm = {.kind = NormKind::kLayer}},
      {.norm = {.kind = NormKind::kLayer}, .bias = true},
      {.mlp = true},
      {.norm = {.kind = NormKind::kLayer}, .bias = true, .mlp = true, .weights = DType::kQ4_0},
  };
  for (const IsaTier tier : all_isa_tiers()) {
    if (!can_run(tier)) continue;
    for (Options options : all) {
      for (const int64_t tokens : {1, 7, 50}) {
        const auto together = run_packed(packed(options, tier), tier, tokens, kWidth);
        options.read_by_others = true;
        const auto apart = run_packed(packed(options, tier), tier, tokens, kWidth);
        options.read_by_others = false;
        for (const auto& [name, values] : together) {
          EXPECT_EQ(values, apart.at(name)) << ashlar::name(tier) << ", " << name << ", " << tokens;
        }
      }
    }
  }
}

}  // namespace
}  // namespace ashlar::passes
