// Gradients written by differentiate against central differences, everything in double.
#include "ashlar/base/philox.h"
#include "ashlar/passes/differentiate.h"
#include "ashlar/passes/fuse.h"
#include "tests/runtime/small_models.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ashlar {
namespace {

using testing::SmallModelOptions;

struct Case {
  const char* name;
  SmallModelOptions model;
};

class GradientTest : public ::testing::TestWithParam<Case> {};

// What is differentiated: the loss, and the balance of experts times its coefficient.
double objective_of(runtime::ReferenceRun& run, const SmallModelOptions& model) {
  run.run({.seed = 3, .step = 1}, {graph::Phase::kForward});
  return run.output("loss")[0] +
         (model.balance > 0 ? model.balance * run.output("aux_loss")[0] : 0);
}

std::vector<graph::ValueId> losses_of(const graph::Graph& graph) {
  std::vector<graph::ValueId> losses;
  for (const auto& [name, value] : graph.outputs()) losses.push_back(value);
  return losses;
}

// A few elements of every parameter: the first, the last and some in between.
std::vector<size_t> probes(size_t size, uint64_t seed) {
  const RandomStream random(seed, "probes");
  std::vector<size_t> picks = {0, size - 1};
  for (uint64_t i = 0; i < 3; ++i) picks.push_back(random.below(i, size));
  return picks;
}

void expect_central_differences(const SmallModelOptions& model) {
  const auto batch = testing::small_batch(model, {7, 1, 4}, 11);
  graph::Graph forward = testing::small_model(model);
  graph::Graph full = forward;
  const auto gradients = passes::differentiate(full, losses_of(full));
  EXPECT_GE(gradients.size(), 10u);

  runtime::VariableStore store(5);
  store.add_missing(full);
  runtime::ReferenceRun backward(full, batch.bindings, store);
  testing::set_inputs(backward, batch);
  if (model.balance > 0) backward.set_input("aux_scale", std::vector{0.25});
  backward.run({.seed = 3, .step = 1});

  runtime::ReferenceRun run(forward, batch.bindings, store);
  testing::set_inputs(run, batch);
  if (model.balance > 0) run.set_input("aux_scale", std::vector{0.25});
  objective_of(run, model);
  EXPECT_EQ(run.output("loss")[0], backward.output("loss")[0]);  // differentiate only appends
  int checked = 0;
  for (const auto& [parameter, gradient] : gradients) {
    const std::string& name = full.variable(parameter).name;
    std::vector<double>& values = run.variable(name);
    const std::vector<double>& grad = backward.variable(full.variable(gradient).name);
    for (const size_t i : probes(values.size(), static_cast<uint64_t>(checked))) {
      constexpr double kStep = 1e-5;
      const double value = values[i];
      values[i] = value + kStep;
      const double above = objective_of(run, model);
      values[i] = value - kStep;
      const double below = objective_of(run, model);
      values[i] = value;
      const double expected = (above - below) / (2 * kStep);
      EXPECT_NEAR(grad[i], expected, 1e-6 * std::abs(expected) + 1e-9) << name << "[" << i << "]";
      ++checked;
    }
  }
  EXPECT_GT(checked, 50);
}

TEST_P(GradientTest, EqualsCentralDifferences) { expect_central_differences(GetParam().model); }

// The balance of a microbatch is no sum over its tokens, so this model is not among those below.
TEST(BalanceGradientTest, EqualsCentralDifferences) {
  expect_central_differences({.experts = 4, .balance = 0.5});
}

// The fuse pass keeps loss and every gradient to 1e-12 in double.
TEST_P(GradientTest, FuseKeepsEveryValue) {
  const SmallModelOptions& model = GetParam().model;
  const auto batch = testing::small_batch(model, {5, 6}, 12);
  graph::Graph plain = testing::small_model(model);
  const auto gradients = passes::differentiate(plain, plain.output("loss"));
  const graph::Graph fused = passes::fuse(plain);
  EXPECT_LT(fused.nodes().size(), plain.nodes().size());

  runtime::VariableStore store(5);
  store.add_missing(plain);
  runtime::ReferenceRun before(plain, batch.bindings, store), after(fused, batch.bindings, store);
  for (auto* run : {&before, &after}) {
    testing::set_inputs(*run, batch);
    run->run({.seed = 3, .step = 1});
  }
  EXPECT_NEAR(before.output("loss")[0], after.output("loss")[0], 1e-12);
  for (const auto& [parameter, gradient] : gradients) {
    const std::string& name = plain.variable(gradient).name;
    const std::vector<double>& a = before.variable(name);
    const std::vector<double>& b = after.variable(name);
    for (size_t i = 0; i < a.size(); ++i) ASSERT_NEAR(a[i], b[i], 1e-12) << name << "[" << i << "]";
  }
}

// Two microbatches of which the second adds give the gradients of one batch of both.
TEST_P(GradientTest, MicrobatchesAddUp) {
  const SmallModelOptions& model = GetParam().model;
  auto whole = testing::small_batch(model, {6, 3}, 13);
  graph::Graph graph = testing::small_model(model);
  const auto gradients = passes::differentiate(graph, graph.output("loss"));
  runtime::VariableStore store(5);
  store.add_missing(graph);
  runtime::ReferenceRun one(graph, whole.bindings, store);
  testing::set_inputs(one, whole);
  one.run({.seed = 3, .step = 1});

  const auto part = [&](size_t first, size_t last) {
    testing::SmallBatch batch;
    for (size_t i = first; i < last; ++i) {
      batch.tokens.push_back(whole.tokens[i]);
      batch.positions.push_back(whole.positions[i]);
      batch.targets.push_back(whole.targets[i]);
    }
    batch.row_start = {0, static_cast<int32_t>(last - first)};
    batch.scale = whole.scale;
    batch.bindings[graph::Symbol::kTokens] = static_cast<int64_t>(last - first);
    batch.bindings[graph::Symbol::kSeqs] = 1;
    return batch;
  };
  runtime::ReferenceRun a(graph, part(0, 6).bindings, store), b(graph, part(6, 9).bindings, store);
  testing::set_inputs(a, part(0, 6));
  testing::set_inputs(b, part(6, 9));
  a.run({.seed = 3, .step = 1});
  for (const auto& [parameter, gradient] : gradients) {
    const std::string& name = graph.variable(gradient).name;
    b.variable(name) = a.variable(name);
  }
  b.run({.seed = 3, .step = 1, .first_microbatch = false, .first_token = 6});
  EXPECT_NEAR(one.output("loss")[0], a.output("loss")[0] + b.output("loss")[0], 1e-12);
  for (const auto& [parameter, gradient] : gradients) {
    const std::string& name = graph.variable(gradient).name;
    for (size_t i = 0; i < one.variable(name).size(); ++i) {
      ASSERT_NEAR(one.variable(name)[i], b.variable(name)[i], 1e-12) << name << "[" << i << "]";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, GradientTest,
    ::testing::Values(Case{"llama", {}}, Case{"gpt2", {.layer_norm = true, .kv_heads = 3}},
                      Case{"tied", {.tied = true}}, Case{"mixture", {.experts = 4}},
                      Case{"dropout", {.layer_norm = true, .kv_heads = 3, .dropout = 0.25}}),
    [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace ashlar
