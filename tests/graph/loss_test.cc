// Cross-entropy of a linear head: its parts in f32 and bf16 against the reference in double, and in
// chunks of rows.
#include "ashlar/graph/ops/loss.h"

#include "ashlar/passes/fuse.h"
#include "tests/graph/counter_values.h"
#include "tests/graph/graph_run.h"
#include "tests/kernels/tier_fixture.h"
#include "tests/kernels/tolerance.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

namespace ashlar::graph {
namespace {

class LossTest : public kernels::TierTest {};
ASHLAR_TEST_EACH_TIER(LossTest);

Graph loss_graph(DType dtype, int64_t vocab, int64_t width, bool bias = false, double softcap = 0) {
  return with_backward([&](Builder& b) {
    return linear_cross_entropy(b, b.input("x", dtype, {Symbol::kTokens, width}),
                                b.parameter("w", {vocab, width}, {}, {}, dtype),
                                b.input("targets", DType::kI32, {Symbol::kTokens}),
                                b.input("scale", DType::kF32, {1}), "loss",
                                bias ? b.parameter("bias", {vocab}, {}, {}) : ValueId{}, softcap);
  });
}

TEST_P(LossTest, EqualsTheReference) {
  constexpr int64_t kWidth = 9;
  // The loss is kept in f64 but summed from rows in f32; gradients sum what a softmax gave, in bf16
  // rounded.
  constexpr double kLoss = kernels::tolerance(DType::kF32);
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const auto& [rows, vocab] : {std::pair<int64_t, int64_t>{1, 7},
                                      {7, 8},
                                      {8, 9},
                                      {9, 17},
                                      {17, 33},
                                      {33, 2},
                                      {5, 1000}}) {
      RunData data{.bindings = bind_tokens(rows)};
      data.floats["scale"] = {1.0f / static_cast<float>(rows)};
      data.ints["targets"] = counter_ids("targets", rows, vocab);
      if (rows > 2) data.ints["targets"][1] = -1;  // not counted
      const Graph graph = loss_graph(dtype, vocab, kWidth);
      const RunResult wanted = run_reference(graph, data),
                      found = run_fast(graph, data, GetParam());
      const std::string what = fmt::format("{} {} x {}", ashlar::name(dtype), rows, vocab);
      const double gradient = 2 * kernels::tolerance(dtype);
      const auto output = [&](const std::string& name, double tolerance) {
        expect_close(found.outputs.at(name).values, wanted.outputs.at(name).values, tolerance,
                     what + " " + name);
      };
      output("y", kLoss);
      output("d_x", gradient);
      expect_close(found.variables.at("w.grad").values, wanted.variables.at("w.grad").values,
                   gradient, what + " w.grad");
    }
  }
}

// Fused, too: the loss, both gradients of the head and the input's from one set of logits.
TEST_P(LossTest, WithBiasAndSoftcap) {
  constexpr int64_t kRows = 17, kVocab = 33, kWidth = 9;
  RunData data{.bindings = bind_tokens(kRows)};
  data.floats["scale"] = {1.0f / kRows};
  data.ints["targets"] = counter_ids("targets", kRows, kVocab);
  data.ints["targets"][3] = -1;
  for (const bool bias : {false, true}) {
    for (const double softcap : {0.0, 1.5}) {
      const Graph graph = loss_graph(DType::kF32, kVocab, kWidth, bias, softcap);
      const Graph fused = passes::fuse(graph);
      EXPECT_LT(fused.nodes().size(), graph.nodes().size());
      const RunResult wanted = run_reference(graph, data);
      for (const Graph& form : {graph, fused}) {
        const RunResult found = run_fast(form, data, GetParam());
        for (const auto& [name, output] : wanted.outputs) {
          expect_close(found.outputs.at(name).values, output.values, 4e-6, name);
        }
        for (const char* name : {"w.grad", "bias.grad"}) {
          if (!bias && name == std::string("bias.grad")) continue;
          expect_close(found.variables.at(name).values, wanted.variables.at(name).values, 4e-6,
                       name);
        }
      }
    }
  }
}

TEST_P(LossTest, NoCountedTargetGivesZero) {
  const Graph graph = loss_graph(DType::kF32, 17, 9);
  RunData data{.bindings = bind_tokens(7)};
  data.ints["targets"].assign(7, -1);
  const RunResult found = run_fast(graph, data, GetParam());
  EXPECT_EQ(found.outputs.at("y").values, std::vector<double>{0});
  EXPECT_EQ(found.outputs.at("d_x").values, std::vector<double>(7 * 9));
  EXPECT_EQ(found.variables.at("w.grad").values, std::vector<double>(17 * 9));
}

// 300 rows of a vocabulary whose logits are made 256 rows at a time: the bits of a batch of 256
// rows and one of the rest.
TEST_P(LossTest, ChunksKeepBits) {
  constexpr int64_t kVocab = 70'000, kWidth = 8, kRows = 300, kCut = 256;
  const Graph graph = loss_graph(DType::kF32, kVocab, kWidth);
  const std::vector<float> x = counter_values("x", kRows * kWidth);
  const std::vector<int32_t> targets = counter_ids("targets", kRows, kVocab);
  const auto rows = [&](int64_t first, int64_t last) {
    RunData data{.bindings = bind_tokens(last - first)};
    data.floats["x"] = {x.begin() + first * kWidth, x.begin() + last * kWidth};
    data.floats["scale"] = {1.0f / 256};
    data.ints["targets"] = {targets.begin() + first, targets.begin() + last};
    return data;
  };
  const RunResult whole = run_fast(graph, rows(0, kRows), GetParam());
  const RunResult head = run_fast(graph, rows(0, kCut), GetParam());
  RunData rest = rows(kCut, kRows);
  rest.state.first_microbatch = false;
  const std::vector<double>& so_far = head.variables.at("w.grad").values;
  rest.floats["w.grad"] = {so_far.begin(), so_far.end()};
  const RunResult tail = run_fast(graph, rest, GetParam());

  const auto loss = [](const RunResult& run) { return run.outputs.at("y").values[0]; };
  EXPECT_NEAR(loss(whole), loss(head) + loss(tail), 1e-14 * loss(whole));
  std::vector<double> d_x = head.outputs.at("d_x").values;
  const std::vector<double>& last_rows = tail.outputs.at("d_x").values;
  d_x.insert(d_x.end(), last_rows.begin(), last_rows.end());
  EXPECT_TRUE(whole.outputs.at("d_x").values == d_x);
  EXPECT_TRUE(whole.variables.at("w.grad").values == tail.variables.at("w.grad").values);
}

}  // namespace
}  // namespace ashlar::graph
