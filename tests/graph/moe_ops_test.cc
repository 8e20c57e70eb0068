// The ops of a mixture of experts, forward and backward, in graphs of their own: the Executor on
// every tier against the reference in double, at odd sizes, in f32 and bf16.
#include "ashlar/graph/ops/grouped_linear.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/moe_assign.h"
#include "ashlar/graph/ops/moe_load.h"
#include "ashlar/graph/ops/moe_route.h"
#include "ashlar/graph/ops/moe_rows.h"
#include "ashlar/graph/ops/row_gate.h"
#include "tests/graph/counter_values.h"
#include "tests/graph/graph_run.h"
#include "tests/kernels/tier_fixture.h"

#include <gtest/gtest.h>

#include <numeric>

namespace ashlar::graph {
namespace {

constexpr DType kDTypes[] = {DType::kF32, DType::kBF16};
constexpr int64_t kOddSizes[] = {1, 7, 8, 9, 17, 33};

class MoeOpTest : public kernels::TierTest {
 protected:
  // Once as the first microbatch, once as a later one, whose gradients are added.
  void check(const Graph& graph, RunData data, const std::string& what, double factor = 1) {
    for (const bool first : {true, false}) {
      data.state.first_microbatch = first;
      expect_close(run_fast(graph, data, GetParam()), run_reference(graph, data), factor,
                   what + (first ? "" : ", added"));
    }
  }
};
ASHLAR_TEST_EACH_TIER(MoeOpTest);

ValueId matrix(Builder& b, const std::string& name, DType dtype, int64_t width) {
  return b.input(name, dtype, {Symbol::kTokens, width});
}

// A softmax of logits within [-4, 4], once more through its products.
TEST_P(MoeOpTest, Route) {
  for (const bool renormalise : {true, false}) {
    for (const int64_t experts : {1, 2, 8, 17, 64}) {
      for (const int64_t rows : kOddSizes) {
        const int64_t top_k = std::min<int64_t>(experts, 3);
        const Graph graph = with_backward([&](Builder& b) {
          return moe_route(b, matrix(b, "logits", DType::kF32, experts), {top_k, renormalise},
                           "route")
              .weights;
        });
        RunData data{.bindings = bind_tokens(rows)};
        data.floats["logits"] = counter_values("logits", rows * experts, 4);
        check(graph, data, fmt::format("route {} x {}", rows, experts), 2);
      }
    }
  }
}

// Sigmoids with a bias, groups, a scale.
TEST_P(MoeOpTest, RouteBySigmoidsInGroups) {
  for (const bool renormalise : {true, false}) {
    for (const int64_t groups : {1, 2, 4}) {
      for (const int64_t rows : kOddSizes) {
        const RouteSpec spec{.top_k = 3,
                             .renormalise = renormalise,
                             .score = kernels::RouteScore::kSigmoid,
                             .scale = 2.5f,
                             .groups = groups,
                             .top_groups = (groups + 1) / 2,
                             .group_best = 2};
        const Graph graph = with_backward([&](Builder& b) {
          return moe_route(b, matrix(b, "logits", DType::kF32, 20),
                           b.input("bias", DType::kF32, {20}), spec, "route")
              .weights;
        });
        check(graph, {.bindings = bind_tokens(rows)},
              fmt::format("route {} x {} groups", rows, groups), 2);
      }
    }
  }
}

TEST_P(MoeOpTest, Balance) {
  for (const int64_t experts : {3, 8, 17}) {
    for (const int64_t rows : kOddSizes) {
      const Graph graph = with_backward([&](Builder& b) {
        ValueId load;
        for (const char* layer : {"x", "other"}) {
          const ValueId logits = matrix(b, layer, DType::kF32, experts);
          const Route route = moe_route(b, logits, {2, true}, std::string("route_") + layer);
          load = moe_load(b, logits, route.experts, load, std::string("load_") + layer);
        }
        return moe_balance(b, load, b.input("scale", DType::kF32, {1}), {2, 0.5}, "balance");
      });
      RunData data{.bindings = bind_tokens(rows)};
      data.floats["scale"] = {0.5f};
      // p (g - mean) cancels where the load is even.
      check(graph, data, fmt::format("balance {} x {}", rows, experts), 4);
    }
  }
}

// EP2: 1 where routing is even, E where all tokens and all probability go to one expert; with two
// choices a token f sums to 2.
TEST_P(MoeOpTest, BalanceAtBothEnds) {
  constexpr int64_t kExperts = 8, kRows = 64;
  for (const int64_t top_k : {1, 2}) {
    const Graph graph = forward_graph([&](Builder& b) {
      const ValueId logits = matrix(b, "logits", DType::kF32, kExperts);
      const Route route = moe_route(b, logits, {top_k, true}, "route");
      const ValueId load = moe_load(b, logits, route.experts, {}, "load");
      return moe_balance(b, load, b.constant("scale", {1}, {1}), {top_k, 0.01}, "balance");
    });
    RunData even{.bindings = bind_tokens(kRows)}, collapsed{.bindings = bind_tokens(kRows)};
    for (int64_t i = 0; i < kRows * kExperts; ++i) {
      const int64_t t = i / kExperts, e = i % kExperts;
      even.floats["logits"].push_back(t % kExperts == e ? 1e-3f : 0);
      collapsed.floats["logits"].push_back(e == 3 ? 100.0f : 0);
    }
    const auto balance = [&](const RunData& data) {
      return run_fast(graph, data, GetParam()).outputs.at("y").values[0];
    };
    EXPECT_NEAR(balance(even), static_cast<double>(top_k), 1e-6);
    EXPECT_NEAR(balance(collapsed), static_cast<double>(kExperts), 1e-6);
  }
}

// EP10: no row is padded; before a run the cost is that of as many rows as fit.
TEST(GroupedLinear, CostsTheRowsThatExpertsHave) {
  std::vector<int32_t> offsets = {0, 5, 9};
  Operand x, weight, map, y;
  x.shape = {20, 6};
  weight.shape = {2, 7, 6};
  map.shape = {3};
  y.shape = {20, 7};
  std::vector<Operand> inputs = {x, weight, map}, outputs = {y};
  EXPECT_EQ(GroupedLinearOp().cost(inputs, outputs).flops, 2 * 20 * 6 * 7);
  inputs[2].data = reinterpret_cast<std::byte*>(offsets.data());
  EXPECT_EQ(GroupedLinearOp().cost(inputs, outputs).flops, 2 * 9 * 6 * 7);
}

TEST_P(MoeOpTest, RowsToExpertsAndBack) {
  constexpr int64_t kExperts = 5;
  for (const AssignSpec& spec : {AssignSpec{kExperts}, {kExperts, 0.5}, {kExperts, 0, true}}) {
    for (const DType dtype : kDTypes) {
      for (size_t i = 0; i < std::size(kOddSizes); ++i) {
        const int64_t rows = kOddSizes[i], width = kOddSizes[(i + 1) % std::size(kOddSizes)];
        const Graph graph = with_backward([&](Builder& b) {
          const ValueId experts = b.input("experts", DType::kI32, {Symbol::kTokens, 2});
          const ValueId weights = matrix(b, "weights", DType::kF32, 2);
          const Assignment a = moe_assign(b, experts, weights, spec, "assign");
          for (const auto& [name, map] :
               {std::pair{"slots", a.slots}, {"sources", a.sources}, {"offsets", a.offsets}}) {
            b.graph().mark_output(name, map);
          }
          const ValueId x = moe_dispatch(b, matrix(b, "x", dtype, width), a.slots, a.sources, "d");
          return moe_combine(b, x, weights, a.slots, a.sources, matrix(b, "residual", dtype, width),
                             "combine");
        });
        RunData data{.bindings = bind_tokens(rows)};
        data.ints["experts"] = counter_ids("experts", rows * 2, kExperts);
        data.floats["weights"] = counter_values("weights", rows * 2, 0.5f, 0.5f);
        check(graph, data,
              fmt::format("rows {} {} x {}, {}", name(dtype), rows, width, spec.capacity), 2);
      }
    }
  }
}

TEST_P(MoeOpTest, RowGate) {
  for (const DType dtype : kDTypes) {
    for (size_t i = 0; i < std::size(kOddSizes); ++i) {
      const int64_t rows = kOddSizes[i], width = kOddSizes[(i + 1) % std::size(kOddSizes)];
      const Graph graph = with_backward([&](Builder& b) {
        return row_gate(b, matrix(b, "x", dtype, width), matrix(b, "gate", DType::kF32, 1),
                        matrix(b, "residual", dtype, width), "gate");
      });
      check(graph, {.bindings = bind_tokens(rows)},
            fmt::format("row gate {} {} x {}", name(dtype), rows, width));
    }
  }
}

Graph grouped_graph(DType dtype, int64_t experts, int64_t outputs, int64_t inputs) {
  return with_backward([&](Builder& b) {
    return grouped_linear(b, matrix(b, "x", dtype, inputs),
                          b.parameter("w", {experts, outputs, inputs}, {}, {}, dtype),
                          b.input("offsets", DType::kI32, {experts + 1}), "grouped");
  });
}

// Even, all to one expert, experts without rows at both ends, rows without an expert, none at all.
TEST_P(MoeOpTest, GroupedLinear) {
  const std::vector<int32_t> groups[] = {
      {0, 5, 9, 14}, {0, 0, 17, 17}, {0, 17, 17, 17}, {0, 1, 3, 11}, {0, 0, 0, 0}};
  for (const DType dtype : kDTypes) {
    for (const auto& offsets : groups) {
      for (const auto& [outputs, inputs] : {std::pair{7, 9}, {33, 17}, {16, 320}}) {
        RunData data{.bindings = bind_tokens(17)};
        data.ints["offsets"] = offsets;
        check(grouped_graph(dtype, 3, outputs, inputs), data,
              fmt::format("grouped {} to {} of {}", name(dtype), offsets[1], offsets[3]));
      }
    }
  }
}

// Experts large enough for all threads together next to small ones, on any number of threads.
TEST_P(MoeOpTest, GroupedLinearGivesTheBitsOfLinearOnAnyThreads) {
  constexpr int64_t kOutputs = 176, kInputs = 320, kRows = 300;
  const std::vector<int32_t> offsets = {0, 3, 210, 210, 300};
  const std::vector<float> x = counter_values("x", kRows * kInputs);
  const std::vector<float> w = counter_values("w", 4 * kOutputs * kInputs);
  for (const DType dtype : kDTypes) {
    RunData data{.bindings = bind_tokens(kRows)};
    data.ints["offsets"] = offsets;
    const Graph grouped = grouped_graph(dtype, 4, kOutputs, kInputs);
    const RunResult wanted = run_fast(grouped, data, GetParam(), 1);
    for (const int threads : {2, 3}) {
      const RunResult found = run_fast(grouped, data, GetParam(), threads);
      for (const auto& [name, values] : wanted.outputs) {
        EXPECT_EQ(found.outputs.at(name).values, values.values) << name << " " << threads;
      }
      EXPECT_EQ(found.variables.at("w.grad").values, wanted.variables.at("w.grad").values);
    }
    for (size_t e = 0; e + 1 < offsets.size(); ++e) {  // each expert's rows by themselves
      const int64_t begin = offsets[e], end = offsets[e + 1];
      if (begin == end) continue;
      const Graph plain = with_backward([&](Builder& b) {
        return linear(b, matrix(b, "x", dtype, kInputs),
                      b.parameter("w", {kOutputs, kInputs}, {}, {}, dtype), {}, "linear");
      });
      const auto part = [](const auto& values, int64_t from, int64_t to) {
        return std::vector(values.begin() + from, values.begin() + to);
      };
      const auto first = static_cast<int64_t>(e) * kOutputs * kInputs;
      RunData own{.bindings = bind_tokens(end - begin)};
      own.floats["x"] = part(x, begin * kInputs, end * kInputs);
      own.floats["w"] = part(w, first, first + kOutputs * kInputs);
      own.floats["d_y"] =
          part(counter_values("d_y", kRows * kOutputs), begin * kOutputs, end * kOutputs);
      const RunResult alone = run_fast(plain, own, GetParam(), 1);
      EXPECT_EQ(alone.outputs.at("y").values,
                part(wanted.outputs.at("y").values, begin * kOutputs, end * kOutputs));
      EXPECT_EQ(alone.outputs.at("d_x").values,
                part(wanted.outputs.at("d_x").values, begin * kInputs, end * kInputs));
      EXPECT_EQ(alone.variables.at("w.grad").values,
                part(wanted.variables.at("w.grad").values, first, first + kOutputs * kInputs));
    }
  }
}

// Later microbatches leave an expert without rows as it is, to the bit.
TEST_P(MoeOpTest, AnExpertWithoutRowsKeepsItsGradient) {
  const Graph graph = grouped_graph(DType::kF32, 2, 3, 4);
  RunData data{.bindings = bind_tokens(2)};
  data.ints["offsets"] = {0, 2, 2};
  data.floats["w.grad"] = std::vector<float>(24, -0.0f);
  data.state.first_microbatch = false;
  const RunResult result = run_fast(graph, data, GetParam());
  for (size_t i = 12; i < 24; ++i) {
    EXPECT_TRUE(std::signbit(result.variables.at("w.grad").values[i])) << i;
  }
  data.state.first_microbatch = true;
  const RunResult first = run_fast(graph, data, GetParam());
  for (size_t i = 12; i < 24; ++i) {
    EXPECT_FALSE(std::signbit(first.variables.at("w.grad").values[i])) << i;
  }
}

}  // namespace
}  // namespace ashlar::graph
