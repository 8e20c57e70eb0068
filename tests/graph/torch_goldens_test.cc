// Ops and blocks at real sizes, forward and backward, against PyTorch's float64 goldens. Attention
// and the optimizers have files of their own.
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/loss.h"
#include "ashlar/graph/ops/norm.h"
#include "ashlar/graph/ops/rope.h"
#include "ashlar/graph/ops/rows.h"
#include "tests/graph/blocks.h"
#include "tests/graph/torch_golden.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace ashlar::graph {
namespace {

constexpr int64_t kTokens = kGoldenTokens, kWidth = kGoldenWidth, kFfn = kGoldenFfn;
constexpr double kF32 = kGoldenF32;

class TorchGolden : public TorchGoldenTest {};
ASHLAR_TEST_EACH_TIER(TorchGolden);

float per_inputs(int64_t inputs) {  // 1 / sqrt(inputs), as torch_ops.py rounds it
  return static_cast<float>(1 / std::sqrt(static_cast<double>(inputs)));
}

TEST_P(TorchGolden, Linear) {
  const Graph graph = with_backward([&](Builder& b) {
    LinearOptions options;
    options.bias = weight(b, "bias", {kFfn});
    options.residual = matrix(b, "residual", kFfn);
    return linear(b, matrix(b, "x", kWidth), weight(b, "w", {kFfn, kWidth}), options, "linear");
  });
  RunData data{.bindings = bind_tokens(kTokens)};
  data.floats["w"] = counter_values("w", kFfn * kWidth, per_inputs(kWidth));
  check(graph, data, "linear");
}

TEST_P(TorchGolden, LinearWithLowRankTerm) {
  constexpr int64_t kRank = 16;
  const Graph graph = with_backward([&](Builder& b) {
    const ValueId x = matrix(b, "x", kWidth);
    LinearOptions options;
    options.low_rank_down = linear(b, x, weight(b, "a", {kRank, kWidth}), {}, "down");
    options.low_rank_up = weight(b, "b", {kFfn, kRank});
    return linear(b, x, weight(b, "w", {kFfn, kWidth}), options, "linear");
  });
  RunData data{.bindings = bind_tokens(kTokens)};
  data.floats["w"] = counter_values("w", kFfn * kWidth, per_inputs(kWidth));
  data.floats["a"] = counter_values("a", kRank * kWidth, per_inputs(kWidth));
  data.floats["b"] = counter_values("b", kFfn * kRank, per_inputs(kRank));
  check(graph, data, "linear_low_rank");
}

TEST_P(TorchGolden, LinearWithEveryEpilogue) {
  const Graph graph = forward_graph([&](Builder& b) {
    LinearOptions options;
    options.bias = weight(b, "bias", {kFfn});
    options.activation = kernels::Activation::kGeluErf;
    options.residual = matrix(b, "residual", kFfn);
    return linear(b, matrix(b, "x", kWidth), weight(b, "w", {kFfn, kWidth}), options, "linear");
  });
  RunData data{.bindings = bind_tokens(kTokens)};
  data.floats["w"] = counter_values("w", kFfn * kWidth, per_inputs(kWidth));
  check(graph, data, "linear_gelu");
}

TEST_P(TorchGolden, Add) {
  const Graph graph = forward_graph(
      [&](Builder& b) { return add(b, matrix(b, "a", kWidth), matrix(b, "c", kWidth), "add"); });
  check(graph, {.bindings = bind_tokens(kTokens)}, "add");
}

TEST_P(TorchGolden, CastRoundsToTheSameBits) {
  const Graph graph = forward_graph(
      [&](Builder& b) { return cast(b, matrix(b, "x", kWidth), DType::kBF16, "cast"); });
  RunData data{.bindings = bind_tokens(kTokens)};
  data.floats["x"] = counter_values("x", kTokens * kWidth, 3);
  check(graph, data, "cast", 1e-14);  // what summing the norm leaves
}

Graph norm_graph(bool layer) {
  return with_backward([&](Builder& b) {
    const ValueId x = matrix(b, "x", kWidth), w = weight(b, "w", {kWidth});
    return layer ? layer_norm(b, x, w, weight(b, "bias", {kWidth}), 1e-5, "norm")
                 : rms_norm(b, x, w, 1e-5, "norm");
  });
}

TEST_P(TorchGolden, Norms) {
  const RunData data{.bindings = bind_tokens(kTokens)};
  check(norm_graph(false), data, "rms_norm");
  check(norm_graph(true), data, "layer_norm");
}

TEST(TorchGoldenReference, Norms) {
  const RunData data{.bindings = bind_tokens(kTokens)};
  check_reference(norm_graph(false), data, "rms_norm");
  check_reference(norm_graph(true), data, "layer_norm");
}

TEST_P(TorchGolden, RopeWithLlama3Scaling) {
  const Graph graph = with_backward([&](Builder& b) {
    const ValueId positions = b.input("positions", DType::kI32, {Symbol::kTokens});
    const ValueId table = b.constant("table", {kTokens, 80}, llama3_table(kTokens, 80));
    return rope(b, matrix(b, "x", 400), positions, table, {5, 80, 80, false}, "rope");
  });
  RunData data{.bindings = bind_tokens(kTokens)};
  data.ints["positions"] = counting(kTokens);
  check(graph, data, "rope_llama3");
  check_reference(graph, data, "rope_llama3");
}

// Interleaved pairs in the first 64 channels of a head; the rest stays.
TEST_P(TorchGolden, RopeOfPairsInPartOfAHead) {
  constexpr int64_t kRotary = 64;
  std::vector<float> table;
  for (int64_t position = 0; position < kTokens; ++position) {
    for (double (*f)(double) : {static_cast<double (*)(double)>(std::cos), std::sin}) {
      for (int64_t i = 0; i < kRotary / 2; ++i) {
        const double frequency =
            std::pow(10000.0, -2 * static_cast<double>(i) / static_cast<double>(kRotary));
        table.push_back(static_cast<float>(f(static_cast<double>(position) * frequency)));
      }
    }
  }
  const Graph graph = with_backward([&](Builder& b) {
    const ValueId positions = b.input("positions", DType::kI32, {Symbol::kTokens});
    return rope(b, matrix(b, "x", 400), positions, b.constant("table", {kTokens, kRotary}, table),
                {5, 80, kRotary, true}, "rope");
  });
  RunData data{.bindings = bind_tokens(kTokens)};
  data.ints["positions"] = counting(kTokens);
  check(graph, data, "rope_interleaved");
  check_reference(graph, data, "rope_interleaved");
}

TEST_P(TorchGolden, Activations) {
  using enum kernels::Activation;
  for (const auto& [golden, f] : {std::pair{"gelu", kGeluErf}, std::pair{"gelu_tanh", kGeluTanh},
                                  std::pair{"silu", kSilu}, std::pair{"relu", kRelu}}) {
    const Graph graph =
        with_backward([&](Builder& b) { return activation(b, matrix(b, "x", kFfn), f, "f"); });
    RunData data{.bindings = bind_tokens(kTokens)};
    data.floats["x"] = counter_values("x", kTokens * kFfn, 6);
    check(graph, data, golden);
  }
}

TEST_P(TorchGolden, Gated) {
  using enum kernels::Activation;
  for (const auto& [golden, f] : {std::pair{"swiglu", kSilu}, std::pair{"geglu", kGeluTanh}}) {
    const Graph graph = with_backward([&](Builder& b) {
      return gated(b, matrix(b, "gate", kFfn), matrix(b, "up", kFfn), f, "gated");
    });
    RunData data{.bindings = bind_tokens(kTokens)};
    data.floats["gate"] = counter_values("gate", kTokens * kFfn, 6);
    check(graph, data, golden);
  }
}

TEST_P(TorchGolden, Embedding) {
  const Graph graph = with_backward([&](Builder& b) {
    return gather_rows(b, weight(b, "table", {5000, kWidth}),
                       b.input("ids", DType::kI32, {Symbol::kTokens}), {}, DType::kF32, "embed");
  });
  RunData data{.bindings = bind_tokens(kTokens)};
  data.ints["ids"] = counter_ids("ids", kTokens, 50);
  check(graph, data, "embedding");
}

TEST_P(TorchGolden, PositionsOnTopOfAnEmbedding) {
  const Graph graph = with_backward([&](Builder& b) {
    return gather_rows(b, weight(b, "table", {1024, kWidth}),
                       b.input("ids", DType::kI32, {Symbol::kTokens}), matrix(b, "addend", kWidth),
                       DType::kF32, "positions");
  });
  RunData data{.bindings = bind_tokens(kTokens)};
  for (int32_t i = 0; i < kTokens; ++i) data.ints["ids"].push_back(i % 300);
  check(graph, data, "position_embedding");
}

TEST_P(TorchGolden, CrossEntropyWithMaskedTargets) {
  constexpr int64_t kRows = 33, kVocab = 32000;
  const Graph graph = with_backward([&](Builder& b) {
    return linear_cross_entropy(b, matrix(b, "x", kWidth), weight(b, "w", {kVocab, kWidth}),
                                b.input("targets", DType::kI32, {Symbol::kTokens}),
                                b.input("scale", DType::kF32, {1}), "loss");
  });
  RunData data{.bindings = bind_tokens(kRows)};
  data.floats["w"] = counter_values("w", kVocab * kWidth, per_inputs(kWidth));
  std::vector<int32_t> targets = counter_ids("targets", kRows, kVocab);
  const std::vector<int32_t> masked = counter_ids("masked", kRows, 4);
  int valid = 0;
  for (size_t i = 0; i < targets.size(); ++i) {
    if (masked[i] == 0) targets[i] = -1;
    valid += targets[i] >= 0 ? 1 : 0;
  }
  ASSERT_LT(valid, kRows);
  data.floats["scale"] = {1.0f / static_cast<float>(valid)};
  data.ints["targets"] = targets;
  check(graph, data, "loss");
}

// A value of a block is a chain of a dozen ops, each with roundings of its own.
constexpr double kBlock = 4 * kF32;

TEST_P(TorchGolden, LlamaBlock) {
  check(block_graph(llama_block), llama_block_data(), "llama_block", kBlock);
}

TEST_P(TorchGolden, Gpt2Block) {
  const RunResult found = run_fast(block_graph(gpt2_block), gpt2_block_data(), GetParam());
  expect_golden(found, read_golden("gpt2_block"), kBlock, "gpt2_block");
  // A key's bias shifts all scores of a row alike: its gradient is zero but for rounding.
  const auto largest = [&](const std::string& name) {
    double result = 0;
    for (const double x : found.variables.at(name).values) result = std::max(result, std::abs(x));
    return result;
  };
  EXPECT_LT(largest("k.bias.grad"), kF32 * largest("v.bias.grad"));
}

}  // namespace
}  // namespace ashlar::graph
