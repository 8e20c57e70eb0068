// Rows that go to their experts and back are the same rows: on one rank nothing changes.
#include "ashlar/passes/exchange_rows.h"

#include "ashlar/passes/differentiate.h"
#include "ashlar/runtime/reference_run.h"
#include "tests/runtime/small_models.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ashlar::passes {
namespace {

using graph::Graph;
using graph::Phase;

int64_t count(const Graph& graph, std::string_view kind, Phase phase) {
  return std::ranges::count_if(graph.nodes(), [&](const graph::Node& node) {
    return node.op->kind() == kind && node.phase == phase;
  });
}

TEST(ExchangeRows, KeepsEveryValueInDouble) {
  const testing::SmallModelOptions model{.layers = 2, .experts = 4};
  Graph plain = testing::small_model(model);
  differentiate(plain, plain.output("loss"));
  const Graph graph = exchange_rows(plain);
  // There and back, forward and backward; what was combined is not sent again for its weights.
  EXPECT_EQ(count(graph, "moe_counts", Phase::kForward), 2);
  EXPECT_EQ(count(graph, "moe_exchange", Phase::kForward), 4);
  EXPECT_EQ(count(graph, "moe_exchange", Phase::kInputGrad), 4);
  EXPECT_EQ(count(graph, "moe_exchange", Phase::kWeightGrad), 0);

  const auto batch = testing::small_batch(model, {7, 1, 4}, 11);
  runtime::VariableStore store(5);
  store.add_missing(plain);
  const auto run = [&](const Graph& which) {
    runtime::ReferenceRun result(which, batch.bindings, store);
    testing::set_inputs(result, batch);
    result.run({.seed = 3, .step = 1});
    return result;
  };
  runtime::ReferenceRun found = run(graph), wanted = run(plain);
  EXPECT_EQ(found.output("loss"), wanted.output("loss"));
  for (const graph::Variable& variable : plain.variables()) {
    EXPECT_EQ(found.variable(variable.name), wanted.variable(variable.name)) << variable.name;
  }
}

}  // namespace
}  // namespace ashlar::passes
