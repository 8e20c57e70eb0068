// Ops at real sizes, forward and backward, against PyTorch: width 320, head dim 80, 5 query heads
// to a key-value head, 700 tokens. The goldens are float64; the fast run is f32, the reference f64.
#include "ashlar/graph/ops/attention.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/loss.h"
#include "ashlar/graph/ops/norm.h"
#include "ashlar/graph/ops/optimizer.h"
#include "ashlar/graph/ops/rope.h"
#include "ashlar/graph/ops/rows.h"
#include "tests/graph/blocks.h"
#include "tests/graph/counter_values.h"
#include "tests/graph/golden.h"
#include "tests/graph/graph_run.h"
#include "tests/kernels/tier_fixture.h"
#include "tests/kernels/tolerance.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace ashlar::graph {
namespace {

constexpr int64_t kTokens = 700, kWidth = 320, kFfn = 1408;
constexpr double kF32 = kernels::tolerance(DType::kF32);

class TorchGolden : public kernels::TierTest {
 protected:
  void check(const Graph& graph, const RunData& data, const std::string& golden,
             double tolerance = kF32) {
    expect_golden(run_fast(graph, data, GetParam()), read_golden(golden), tolerance, golden);
  }
};
ASHLAR_TEST_EACH_TIER(TorchGolden);

// The references against the same goldens, to the rounding of double.
void check_reference(const Graph& graph, const RunData& data, const std::string& golden) {
  expect_golden(run_reference(graph, data), read_golden(golden), 1e-11, golden);
}

ValueId matrix(Builder& b, const std::string& name, int64_t width) {
  return b.input(name, DType::kF32, {Symbol::kTokens, width});
}
ValueId weight(Builder& b, const std::string& name, Shape shape) {
  return b.parameter(name, shape, {}, {});
}

struct AttentionExample {
  std::string golden;
  int64_t heads, kv_heads;
  std::vector<int32_t> row_start;
  kernels::AttentionMask mask;

  Graph graph() const {
    AttentionSpec spec{heads, kv_heads, 80, mask};
    spec.mask.scale = static_cast<float>(1 / std::sqrt(80.0));
    return with_backward([&](Builder& b) {
      const ValueId rows = b.input("row_start", DType::kI32, {Dim(Symbol::kSeqs, 1, 1)});
      return attention(b, matrix(b, "q", heads * 80), matrix(b, "k", kv_heads * 80),
                       matrix(b, "v", kv_heads * 80), rows, spec, "attention");
    });
  }
  RunData data() const {
    RunData data{.bindings = bind_tokens(kTokens, static_cast<int64_t>(row_start.size()) - 1)};
    data.ints["row_start"] = row_start;
    return data;
  }
};

const std::vector<AttentionExample>& attention_examples() {
  static const std::vector<AttentionExample> examples = {
      {"attention_causal", 5, 1, {0, 700}, {}},
      {"attention_window", 5, 1, {0, 700}, {.window = 100}},
      {"attention_documents", 5, 1, {0, 1, 64, 128, 193, 393, 700}, {.window = 150}},
      {"attention_softcap", 5, 1, {0, 700}, {.softcap = 20}},
      {"attention_4_heads", 4, 4, {0, 700}, {}},
  };
  return examples;
}

TEST_P(TorchGolden, Attention) {
  for (const AttentionExample& example : attention_examples()) {
    // Scores carry the rounding of a whole dot product and are exponentiated.
    check(example.graph(), example.data(), example.golden, 2 * kF32);
  }
}

TEST(TorchGoldenReference, Attention) {
  for (const AttentionExample& example : attention_examples()) {
    check_reference(example.graph(), example.data(), example.golden);
  }
}

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

TEST_P(TorchGolden, Activations) {
  for (const auto& [golden, f] : {std::pair{"gelu", kernels::Activation::kGeluErf},
                                  std::pair{"gelu_tanh", kernels::Activation::kGeluTanh}}) {
    const Graph graph =
        with_backward([&](Builder& b) { return activation(b, matrix(b, "x", kFfn), f, "f"); });
    RunData data{.bindings = bind_tokens(kTokens)};
    data.floats["x"] = counter_values("x", kTokens * kFfn, 6);
    check(graph, data, golden);
  }
}

TEST_P(TorchGolden, SwiGlu) {
  const Graph graph = with_backward([&](Builder& b) {
    return gated(b, matrix(b, "gate", kFfn), matrix(b, "up", kFfn), kernels::Activation::kSilu,
                 "swiglu");
  });
  RunData data{.bindings = bind_tokens(kTokens)};
  data.floats["gate"] = counter_values("gate", kTokens * kFfn, 6);
  check(graph, data, "swiglu");
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

// Five steps of clipping and AdamW; the gradients of each step are set anew.
TEST_P(TorchGolden, AdamWWithClipping) {
  const std::pair<std::string, Shape> parameters[] = {{"a", {37, kWidth}}, {"b", {kWidth}}};
  Graph graph;
  Builder b(graph, Phase::kUpdate);
  const auto state = [&](const std::string& name, Shape shape) {
    Variable variable;
    variable.name = name;
    variable.kind = VariableKind::kOptimizer;
    variable.shape = shape;
    return graph.current(graph.add_variable(variable));
  };
  const ValueId lr = b.input("lr", DType::kF32, {1});
  std::vector<ValueId> gradients;
  for (const auto& [name, shape] : parameters) gradients.push_back(state(name + ".grad", shape));
  const ValueId squares = b.apply1(std::make_shared<SumSquaresOp>(), gradients, "squares");
  const auto clip = b.apply(std::make_shared<ClipScaleOp>(1.0), {squares}, "clip");
  graph.mark_output("norm", clip[0]);
  for (size_t i = 0; i < gradients.size(); ++i) {
    const auto& [name, shape] = parameters[i];
    b.apply(std::make_shared<AdamWOp>(AdamWSpec{}, false),
            {weight(b, name, shape), gradients[i], state(name + ".m", shape),
             state(name + ".v", shape), lr, clip[1], ValueId{}},
            "update_" + name);
  }

  RunData data;
  data.floats["lr"] = {0.01f};
  for (const auto& [name, shape] : parameters) {
    const auto zeros = std::vector<float>(static_cast<size_t>(shape.elements()));
    data.floats[name + ".m"] = data.floats[name + ".v"] = zeros;
  }
  RunResult result;
  std::vector<double> norms;
  for (uint64_t step = 1; step <= 5; ++step) {
    data.state.step = step;
    for (const auto& [name, shape] : parameters) {
      data.floats[name + ".grad"] = counter_values(fmt::format("{}.grad.{}", name, step),
                                                   shape.elements(), step < 3 ? 0.01f : 1.0f);
    }
    result = run_fast(graph, data, GetParam());
    norms.push_back(result.outputs.at("norm").values[0]);
    for (const auto& [name, values] : result.variables) {
      data.floats[name].assign(values.values.begin(), values.values.end());
    }
  }
  result.outputs["norms"] = {DType::kF64, norms};
  expect_golden(result, read_golden("adamw"), kF32, "adamw");
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
