// What fuse merges, each merge compared in double with the graph before it. Training graphs as a
// whole are compared in gradient_test.cc.
#include "ashlar/passes/fuse.h"

#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/optimizer.h"
#include "tests/runtime/small_models.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <functional>

namespace ashlar::passes {
namespace {

using graph::Builder;
using graph::Graph;
using graph::Symbol;
using graph::ValueId;

int64_t count(const Graph& graph, std::string_view kind) {
  return std::ranges::count_if(graph.nodes(),
                               [&](const graph::Node& node) { return node.op->kind() == kind; });
}

// Runs both graphs on one store and compares outputs and Variables to 1e-12.
void expect_equal_values(const Graph& before, const Graph& after, const graph::Bindings& bindings,
                         const std::function<void(runtime::ReferenceRun&)>& set_inputs) {
  runtime::VariableStore store(5);
  store.add_missing(before);
  runtime::ReferenceRun a(before, bindings, store), b(after, bindings, store);
  for (auto* run : {&a, &b}) {
    set_inputs(*run);
    run->run({.seed = 3, .step = 1});
  }
  const auto compare = [](const std::vector<double>& x, const std::vector<double>& y,
                          const std::string& what) {
    ASSERT_EQ(x.size(), y.size()) << what;
    for (size_t i = 0; i < x.size(); ++i) ASSERT_NEAR(x[i], y[i], 1e-12) << what << "[" << i << "]";
  };
  ASSERT_FALSE(before.outputs().empty());
  for (const auto& [name, id] : before.outputs()) compare(a.output(name), b.output(name), name);
  for (const graph::Variable& variable : before.variables()) {
    compare(a.variable(variable.name), b.variable(variable.name), variable.name);
  }
}

TEST(Fuse, InferenceHasNoSumsOrActivationsLeft) {
  for (const bool gpt2 : {false, true}) {
    const testing::SmallModelOptions model{.layer_norm = gpt2, .kv_heads = 3};
    const auto batch = testing::small_batch(model, {5, 6}, 12);
    const Graph plain = testing::small_model(model), fused = fuse(plain);
    EXPECT_EQ(count(plain, "add"), 2 * model.layers);
    EXPECT_EQ(count(plain, "activation"), gpt2 ? model.layers : 0);
    EXPECT_EQ(count(fused, "add"), 0);
    EXPECT_EQ(count(fused, "activation"), 0);
    EXPECT_EQ(count(fused, "linear"), count(plain, "linear"));
    expect_equal_values(plain, fused, batch.bindings,
                        [&](runtime::ReferenceRun& run) { testing::set_inputs(run, batch); });
  }
}

constexpr int64_t kWidth = 9, kTokens = 5;

ValueId weight(Builder& b, const std::string& name) {
  return b.parameter(name, {kWidth, kWidth}, {}, {graph::Init::Kind::kNormal, 1, {}});
}

// x through `build`, before and after; how many activations and sums are left.
void check(const std::function<ValueId(Builder&, ValueId)>& build, int64_t activations,
           int64_t sums) {
  Graph plain;
  Builder b(plain);
  plain.mark_output("y", build(b, b.input("x", DType::kF32, {Symbol::kTokens, kWidth})));
  const Graph fused = fuse(plain);
  EXPECT_EQ(count(fused, "activation"), activations);
  EXPECT_EQ(count(fused, "add"), sums);
  graph::Bindings bindings;
  bindings[Symbol::kTokens] = kTokens;
  std::vector<double> x(kTokens * kWidth);
  for (size_t i = 0; i < x.size(); ++i) x[i] = std::sin(static_cast<double>(i));
  expect_equal_values(plain, fused, bindings,
                      [&](runtime::ReferenceRun& run) { run.set_input("x", x); });
}

TEST(Fuse, ASumAfterAnActivationIsAddedLast) {
  check(
      [](Builder& b, ValueId x) {
        const ValueId h = linear(b, x, weight(b, "w"), {}, "h");
        return add(b, activation(b, h, kernels::Activation::kGeluErf, "f"), x, "y");
      },
      0, 0);
}

TEST(Fuse, AnActivationOfASumStays) {
  check(
      [](Builder& b, ValueId x) {
        const ValueId h = add(b, linear(b, x, weight(b, "w"), {}, "h"), x, "sum");
        return activation(b, h, kernels::Activation::kSilu, "f");
      },
      1, 0);
}

TEST(Fuse, ASumOfThreeTakesTwoLinears) {
  check(
      [](Builder& b, ValueId x) {
        const ValueId two = add(b, linear(b, x, weight(b, "v"), {}, "v"), x, "two");
        return add(b, linear(b, x, weight(b, "w"), {}, "w"), two, "three");
      },
      0, 0);
}

TEST(Fuse, WhatSomethingElseReadsStays) {
  check(
      [](Builder& b, ValueId x) {
        const ValueId h = linear(b, x, weight(b, "w"), {}, "h");
        const ValueId f = activation(b, h, kernels::Activation::kSilu, "f");
        return add(b, gated(b, h, x, kernels::Activation::kRelu, "g"), f, "y");
      },
      1, 1);
}

// A sum of a value with itself has no other term to take in.
TEST(Fuse, ADoubledValueStays) {
  check(
      [](Builder& b, ValueId x) {
        const ValueId h = linear(b, x, weight(b, "w"), {}, "h");
        return add(b, h, h, "y");
      },
      0, 1);
}

TEST(Fuse, AdamWWritesTheShadowItself) {
  Graph plain;
  Builder b(plain, graph::Phase::kUpdate);
  const ValueId param = weight(b, "w");
  const auto state = [&](const std::string& name, graph::VariableKind kind, DType dtype) {
    graph::Variable variable;
    variable.name = name;
    variable.kind = kind;
    variable.dtype = dtype;
    variable.shape = {kWidth, kWidth};
    variable.source = plain.value(param).variable;
    variable.init = {graph::Init::Kind::kOnes, 0, {}};
    return plain.current(plain.add_variable(variable));
  };
  const ValueId shadow = state("w.shadow", graph::VariableKind::kShadow, DType::kBF16);
  const auto updated =
      b.apply(std::make_shared<graph::AdamWOp>(graph::AdamWSpec{}, false),
              {param, state("g", graph::VariableKind::kGradient, DType::kF32),
               state("m", graph::VariableKind::kOptimizer, DType::kF32),
               state("v", graph::VariableKind::kOptimizer, DType::kF32),
               b.input("lr", DType::kF32, {1}), b.input("scale", DType::kF32, {1}), ValueId{}},
              "update");
  const ValueId rounded =
      b.apply1(std::make_shared<graph::CastOp>(DType::kBF16, true), {updated[0], shadow}, "round");
  plain.mark_output("shadow", rounded);
  const Graph fused = fuse(plain);
  EXPECT_EQ(count(fused, "cast"), 0);
  EXPECT_EQ(count(fused, "adamw"), 1);
  expect_equal_values(plain, fused, {}, [](runtime::ReferenceRun& run) {
    run.set_input("lr", std::vector<double>{0.1});
    run.set_input("scale", std::vector<double>{0.5});
  });
}

}  // namespace
}  // namespace ashlar::passes
