// What merge_linears merges, with the bits of the ops it replaces, and what it leaves alone.
#include "ashlar/passes/merge_linears.h"

#include "ashlar/base/cpu.h"
#include "ashlar/graph/builder.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/passes/pack.h"
#include "ashlar/passes/store_weights.h"
#include "tests/passes/packed_run.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ashlar::passes {
namespace {

constexpr int64_t kWidth = 64;

struct Options {
  bool biases = false, residual = false, adapter = false, activated = false, of_one_value = true;
  int products = 3, only = -1;  // that one alone
  DType weights = DType::kQ8_0, activations = DType::kF32;
};

// "y0", "y1", ...: products of x (or of x and of the one before), of 16, 32, 48 ... outputs.
graph::Graph products(const Options& options) {
  graph::Graph graph;
  graph::Builder b(graph);
  const auto parameter = [&](const std::string& name, Shape shape) {
    return b.parameter(name, shape, {}, {graph::Init::Kind::kNormal, 0.1f, {}});
  };
  const auto x = b.input("x", options.activations, {graph::Symbol::kTokens, kWidth});
  graph::ValueId from = x;
  for (int i = 0; i < options.products; ++i) {
    if (options.only >= 0 && i != options.only) continue;
    const std::string name = "y" + std::to_string(i);
    const int64_t outputs = options.of_one_value && !options.residual ? 16 * (i + 1) : kWidth;
    graph::LinearOptions with;
    if (options.biases && i != 1) with.bias = parameter(name + ".bias", {outputs});
    if (options.residual) with.residual = x;
    if (options.adapter) {
      with.low_rank_down =
          graph::linear(b, x, parameter(name + ".a", {4, kWidth}), {}, name + ".a");
      with.low_rank_up = parameter(name + ".b", {outputs, 4});
    }
    if (options.activated) with.activation = kernels::Activation::kRelu;
    const auto y =
        graph::linear(b, from, parameter(name + ".w", {outputs, kWidth}), with, "layer." + name);
    graph.mark_output(name, y);
    if (!options.of_one_value) from = y;
  }
  return graph;
}

graph::Graph packed(const Options& options, IsaTier tier) {
  return pack(store_weights(products(options), all_in(options.weights)),
              kernels::kernel_table(tier));
}

std::vector<std::string> groups(const Options& options) {
  std::vector<std::string> names;
  const graph::Graph graph = packed(options, IsaTier::kScalar);
  for (const graph::Node& node : graph.nodes()) {
    if (node.op->kind() == "linear_group") names.push_back(node.name);
  }
  return names;
}

TEST(MergeLinears, MergesProductsOfOneValue) {
  using Names = std::vector<std::string>;
  EXPECT_EQ(groups({}), Names{"layer.y0+y1+y2"});
  EXPECT_EQ(groups({.biases = true, .weights = DType::kQ4_0}), Names{"layer.y0+y1+y2"});
  EXPECT_EQ(groups({.products = 1}), Names{});
  EXPECT_EQ(groups({.products = 6}), (Names{"layer.y0+y1+y2+y3", "layer.y4+y5"}));
  EXPECT_EQ(groups({.products = 5}), Names{"layer.y0+y1+y2+y3"});
}

TEST(MergeLinears, LeavesWhatTheKernelDoesNotCompute) {
  for (const Options& options :
       {Options{.residual = true}, Options{.activated = true}, Options{.of_one_value = false},
        Options{.weights = DType::kF16}, Options{.activations = DType::kBF16}}) {
    EXPECT_TRUE(groups(options).empty());
  }
}

TEST(MergeLinears, KeepsEveryBit) {
  for (const IsaTier tier : all_isa_tiers()) {
    if (!can_run(tier)) continue;
    for (const int64_t tokens : {1, 7, 50}) {
      Options options{.biases = true};
      const auto together = run_packed(packed(options, tier), tier, tokens, kWidth);
      for (options.only = 0; options.only < options.products; ++options.only) {
        const std::string y = "y" + std::to_string(options.only);
        const auto alone = run_packed(packed(options, tier), tier, tokens, kWidth);
        EXPECT_EQ(together.at(y), alone.at(y)) << name(tier) << ", " << y << ", " << tokens;
      }
    }
  }
}

}  // namespace
}  // namespace ashlar::passes
