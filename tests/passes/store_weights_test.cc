#include "ashlar/passes/store_weights.h"

#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/grouped_linear.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/rows.h"

#include <gtest/gtest.h>

#include <map>
#include <string>

namespace ashlar::passes {
namespace {

using graph::Builder;
using graph::Graph;
using graph::ValueId;
using graph::VariableKind;

// An embedding that is the head as well, two linear layers of which one has rows that are no
// multiple of 32, a router, experts, and a table that is added as it is.
Graph model() {
  Graph graph;
  Builder b(graph, graph::Phase::kForward);
  const ValueId tokens = graph.add_input("tokens", {DType::kI32, {graph::Dim(4)}});
  const ValueId offsets = graph.add_input("offsets", {DType::kI32, {graph::Dim(3)}});
  const auto matrix = [&](const std::string& name, Shape shape, std::vector<std::string> dims) {
    return b.parameter(name, std::move(shape), std::move(dims), {});
  };
  const ValueId embed = matrix("embed.weight", {50, 256}, {"vocab", "embed"});
  const ValueId places = matrix("positions.weight", {8, 256}, {"position", "embed"});
  ValueId x = gather_rows(b, embed, tokens, {}, DType::kF32, "embed");
  x = add(b, x, gather_rows(b, places, tokens, {}, DType::kF32, "positions"), "sum");
  const ValueId narrow =
      linear(b, x, matrix("down.weight", {40, 256}, {"ffn", "embed"}), {}, "down");
  x = linear(b, narrow, matrix("up.weight", {256, 40}, {"embed", "ffn"}), {}, "up");
  const ValueId router = matrix("router.weight", {2, 256}, {"router", "embed"});
  graph.mark_output("route", linear(b, x, router, {}, "router"));
  const ValueId experts = matrix("experts.weight", {2, 256, 256}, {"expert", "ffn", "embed"});
  x = grouped_linear(b, x, experts, offsets, "experts");
  graph.mark_output("logits", linear(b, x, embed, {}, "head"));
  return graph;
}

std::map<std::string, DType> dtypes(const Graph& graph) {
  std::map<std::string, DType> result;
  for (const graph::Variable& variable : graph.variables()) {
    result[variable.name] = variable.dtype;
  }
  return result;
}

TEST(StoreWeights, MatricesOfLayersExpertsAndVocabulary) {
  const std::map<std::string, DType> wanted = {
      {"embed.weight", DType::kQ8_0}, {"positions.weight", DType::kF32},
      {"down.weight", DType::kQ8_0},  {"up.weight", DType::kF32},
      {"router.weight", DType::kF32}, {"experts.weight", DType::kQ8_0}};
  EXPECT_EQ(dtypes(store_weights(model(), all_in(DType::kQ8_0))), wanted);
}

TEST(StoreWeights, EmbeddingAndHeadGetMoreThanFourBits) {
  const auto four = dtypes(store_weights(model(), all_in(DType::kQ4_0)));
  EXPECT_EQ(four.at("embed.weight"), DType::kQ6K);
  EXPECT_EQ(four.at("down.weight"), DType::kQ4_0);
}

// A tied embedding is asked about once, as the head; what the kernels do not multiply stays.
TEST(StoreWeights, AsksWhatEachWeightIsFor) {
  std::map<std::string, WeightUse> asked;
  const Graph stored = store_weights(model(), [&](const graph::Variable& variable, WeightUse use) {
    asked[variable.name] = use;
    return DType::kQ5_0;
  });
  const std::map<std::string, WeightUse> wanted = {{"embed.weight", WeightUse::kHead},
                                                   {"down.weight", WeightUse::kLinear},
                                                   {"up.weight", WeightUse::kLinear},
                                                   {"experts.weight", WeightUse::kExperts}};
  EXPECT_EQ(asked, wanted);
  EXPECT_EQ(dtypes(stored), dtypes(model()));
}

}  // namespace
}  // namespace ashlar::passes
