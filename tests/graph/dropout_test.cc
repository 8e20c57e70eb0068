// Dropout's mask is a function of seed, step, path and the element's place in the global batch.
#include "ashlar/graph/ops/elementwise.h"
#include "tests/graph/counter_values.h"
#include "tests/graph/graph_run.h"
#include "tests/kernels/tier_fixture.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ashlar::graph {
namespace {

constexpr int64_t kRows = 50, kWidth = 33;
constexpr double kRate = 0.3;

class Dropout : public kernels::TierTest {
 protected:
  // The result for rows [first, first + rows) of one global batch of ones.
  std::vector<double> run(int64_t first, int64_t rows, RunState state = {.seed = 3, .step = 1},
                          const std::string& path = "drop") {
    const Graph graph = with_backward([&](Builder& b) {
      return dropout(b, b.input("x", DType::kF32, {Symbol::kTokens, kWidth}), kRate, path);
    });
    RunData data{.bindings = bind_tokens(rows)};
    data.state = state;
    data.state.first_token = static_cast<uint64_t>(first);
    const auto ones = std::vector<float>(static_cast<size_t>(rows * kWidth), 1.0f);
    data.floats["x"] = data.floats["d_y"] = ones;
    const RunResult result = run_fast(graph, data, GetParam());
    // The gradient passes where the value passed.
    EXPECT_EQ(result.outputs.at("d_x").values, result.outputs.at("y").values);
    return result.outputs.at("y").values;
  }
};
ASHLAR_TEST_EACH_TIER(Dropout);

TEST_P(Dropout, SplittingTheBatchKeepsTheMask) {
  const std::vector<double> whole = run(0, kRows);
  for (const int64_t cut : {1, 7, 24, 49}) {
    std::vector<double> parts = run(0, cut);
    const std::vector<double> rest = run(cut, kRows - cut);
    parts.insert(parts.end(), rest.begin(), rest.end());
    EXPECT_EQ(parts, whole) << "cut at " << cut;
  }
}

TEST_P(Dropout, KeepsTheMean) {
  const std::vector<double> y = run(0, kRows);
  double kept = 0;
  for (const double value : y) {
    if (value == 0) continue;
    EXPECT_FLOAT_EQ(static_cast<float>(value), static_cast<float>(1 / (1 - kRate)));
    ++kept;
  }
  const auto n = static_cast<double>(y.size());
  EXPECT_NEAR(kept / n, 1 - kRate, 5 * std::sqrt(kRate * (1 - kRate) / n));
}

TEST_P(Dropout, SeedStepAndPathGiveOtherMasks) {
  const std::vector<double> y = run(0, kRows);
  EXPECT_EQ(run(0, kRows), y);
  EXPECT_NE(run(0, kRows, {.seed = 4, .step = 1}), y);
  EXPECT_NE(run(0, kRows, {.seed = 3, .step = 2}), y);
  EXPECT_NE(run(0, kRows, {.seed = 3, .step = 1}, "other"), y);
}

TEST(DropoutRate, ZeroIsNoOp) {
  Graph graph;
  Builder b(graph);
  const ValueId x = b.input("x", DType::kF32, {Symbol::kTokens, 8});
  EXPECT_EQ(dropout(b, x, 0, "drop"), x);
  EXPECT_TRUE(graph.nodes().empty());
}

}  // namespace
}  // namespace ashlar::graph
