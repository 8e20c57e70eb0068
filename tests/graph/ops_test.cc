// Each op, forward and backward, in a graph of its own: the Executor on every tier against the
// reference in double, at odd sizes, in f32 and bf16.
#include "ashlar/graph/ops/attention.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/norm.h"
#include "ashlar/graph/ops/rope.h"
#include "ashlar/graph/ops/rows.h"
#include "ashlar/graph/ops/softcap.h"
#include "tests/graph/counter_values.h"
#include "tests/graph/graph_run.h"
#include "tests/kernels/tier_fixture.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ashlar::graph {
namespace {

class OpTest : public kernels::TierTest {
 protected:
  // Fast against reference; once as the first microbatch, once as a later one, whose gradients are
  // added to what is there.
  void check(const Graph& graph, RunData data, const std::string& what, double factor = 1) {
    for (const bool first : {true, false}) {
      data.state.first_microbatch = first;
      expect_close(run_fast(graph, data, GetParam()), run_reference(graph, data), factor,
                   what + (first ? "" : ", added"));
    }
  }
};
ASHLAR_TEST_EACH_TIER(OpTest);

constexpr int64_t kOddSizes[] = {1, 7, 8, 9, 17, 33};
constexpr DType kDTypes[] = {DType::kF32, DType::kBF16};
constexpr kernels::Activation kActivations[] = {
    kernels::Activation::kGeluTanh,  kernels::Activation::kGeluErf,
    kernels::Activation::kSilu,      kernels::Activation::kRelu,
    kernels::Activation::kGeluQuick, kernels::Activation::kReluSquared,
    kernels::Activation::kTanh,      kernels::Activation::kSigmoid};

std::string label(std::string_view op, DType dtype, int64_t rows, int64_t width) {
  return fmt::format("{} {} {} x {}", op, ashlar::name(dtype), rows, width);
}

// Every dtype with every pair of neighbours in the list of odd sizes.
template <typename Check>
void for_each_size(const Check& check) {
  for (const DType dtype : kDTypes) {
    for (size_t i = 0; i < std::size(kOddSizes); ++i) {
      check(dtype, kOddSizes[i], kOddSizes[(i + 1) % std::size(kOddSizes)]);
    }
  }
}

ValueId matrix(Builder& b, const std::string& name, DType dtype, int64_t width) {
  return b.input(name, dtype, {Symbol::kTokens, width});
}

ValueId weight(Builder& b, const std::string& name, Shape shape, DType dtype = DType::kF32) {
  return b.parameter(name, shape, {}, {}, dtype);
}

TEST_P(OpTest, Add) {
  for_each_size([&](DType dtype, int64_t rows, int64_t width) {
    const Graph graph = forward_graph([&](Builder& b) {
      return add(b, matrix(b, "a", dtype, width), matrix(b, "c", dtype, width), "add");
    });
    check(graph, {.bindings = bind_tokens(rows)}, label("add", dtype, rows, width));
  });
}

TEST_P(OpTest, Activation) {
  for (const kernels::Activation f : kActivations) {
    for_each_size([&](DType dtype, int64_t rows, int64_t width) {
      const Graph graph = with_backward(
          [&](Builder& b) { return activation(b, matrix(b, "x", dtype, width), f, "f"); });
      RunData data{.bindings = bind_tokens(rows)};
      data.floats["x"] = counter_values("x", rows * width, 4);
      check(graph, data, label(name(f), dtype, rows, width));
    });
  }
}

TEST_P(OpTest, Gated) {
  for (const kernels::Activation f : kActivations) {
    for_each_size([&](DType dtype, int64_t rows, int64_t width) {
      const Graph graph = with_backward([&](Builder& b) {
        return gated(b, matrix(b, "gate", dtype, width), matrix(b, "up", dtype, width), f, "g");
      });
      RunData data{.bindings = bind_tokens(rows)};
      data.floats["gate"] = counter_values("gate", rows * width, 4);
      check(graph, data, label(name(f), dtype, rows, width));
    });
  }
}

TEST_P(OpTest, ScaleAndSoftcap) {
  for_each_size([&](DType dtype, int64_t rows, int64_t width) {
    const auto x = [&](Builder& b) { return matrix(b, "x", dtype, width); };
    check(with_backward([&](Builder& b) { return scale(b, x(b), 0.3, "scale"); }),
          {.bindings = bind_tokens(rows)}, label("scale", dtype, rows, width));
    // In bf16, backward starts from the rounded result of forward.
    check(with_backward([&](Builder& b) { return softcap(b, x(b), 1.5, "cap"); }),
          {.bindings = bind_tokens(rows)}, label("softcap", dtype, rows, width), 2);
  });
}

TEST_P(OpTest, Dropout) {
  for_each_size([&](DType dtype, int64_t rows, int64_t width) {
    const Graph graph = with_backward(
        [&](Builder& b) { return dropout(b, matrix(b, "x", dtype, width), 0.3, "drop"); });
    RunData data{.bindings = bind_tokens(rows)};
    data.state.first_token = 5;
    check(graph, data, label("dropout", dtype, rows, width));
  });
}

TEST_P(OpTest, Cast) {
  for (const auto& [from, to] :
       {std::pair{DType::kF32, DType::kBF16}, std::pair{DType::kBF16, DType::kF32}}) {
    for (const int64_t rows : kOddSizes) {
      const Graph graph =
          with_backward([&](Builder& b) { return cast(b, matrix(b, "x", from, 9), to, "cast"); });
      check(graph, {.bindings = bind_tokens(rows)}, label("cast", to, rows, 9));
    }
  }
}

// A shadow is rounded as the store rounds it.
TEST_P(OpTest, CastIntoAShadow) {
  Graph graph;
  Builder b(graph, Phase::kUpdate);
  const ValueId w = weight(b, "w", {17, 9});
  Variable rounded_w;
  rounded_w.name = "w.shadow";
  rounded_w.kind = VariableKind::kShadow;
  rounded_w.dtype = DType::kBF16;
  rounded_w.shape = {17, 9};
  rounded_w.source = graph.value(w).variable;
  const VariableId shadow = graph.add_variable(rounded_w);
  b.apply(std::make_shared<CastOp>(DType::kBF16, true), {w, graph.current(shadow)}, "round");
  const auto result = run_fast(graph, {}, GetParam());
  const std::vector<float> values = counter_values("w", 17 * 9);
  const std::vector<double>& rounded = result.variables.at("w.shadow").values;
  for (size_t i = 0; i < values.size(); ++i) {
    EXPECT_EQ(rounded[i], static_cast<double>(to_float(to_bf16(values[i]))));
  }
}

TEST_P(OpTest, Norms) {
  for (const bool layer : {false, true}) {
    for_each_size([&](DType dtype, int64_t rows, int64_t width) {
      const auto norm = [&](Builder& b) {
        const ValueId x = matrix(b, "x", dtype, width), w = weight(b, "w", {width});
        return layer ? layer_norm(b, x, w, weight(b, "bias", {width}), 1e-5, "norm")
                     : rms_norm(b, x, w, 1e-5, "norm");
      };
      // One channel alone becomes its sign: its gradient is what cancellation leaves.
      const Graph graph = width == 1 ? forward_graph(norm) : with_backward(norm);
      check(graph, {.bindings = bind_tokens(rows)},
            label(layer ? "layer_norm" : "rms_norm", dtype, rows, width), 2);
    });
  }
}

// Three heads, with a weight for all or one for each, around 0 or not.
TEST_P(OpTest, NormsOfHeads) {
  for (const int form : {0, 1, 2, 3, 4, 5, 6, 7}) {
    const bool layer = form & 1, own = form & 2, zero_centred = form & 4;
    for_each_size([&](DType dtype, int64_t rows, int64_t width) {
      const int64_t head = width + 1;
      const Graph graph = with_backward([&](Builder& b) {
        const Shape shape = own ? Shape{3, head} : Shape{head};
        const ValueId bias = layer ? weight(b, "bias", shape) : ValueId{};
        return norm(b, matrix(b, "x", dtype, 3 * head), weight(b, "w", shape), bias,
                    {layer ? NormKind::kLayer : NormKind::kRms, 1e-5, head, zero_centred}, "norm");
      });
      // Two channels alone become their sign: what is left of their gradient is rounding.
      check(graph, {.bindings = bind_tokens(rows)},
            label("norm of heads", dtype, rows, head) + fmt::format(" form {}", form),
            head == 2 ? 16 : 2);
    });
  }
}

TEST_P(OpTest, Rope) {
  for (const DType dtype : kDTypes) {
    for (const bool interleaved : {false, true}) {
      for (const int64_t rows : kOddSizes) {
        const RopeSpec spec{
            .heads = 3, .head_dim = 14, .rotary_dim = 10, .interleaved = interleaved};
        const Graph graph = with_backward([&](Builder& b) {
          const ValueId positions = b.input("positions", DType::kI32, {Symbol::kTokens});
          const ValueId table = b.constant("table", {40, 10}, counter_values("t", 400));
          return rope(b, matrix(b, "x", dtype, 42), positions, table, spec, "rope");
        });
        RunData data{.bindings = bind_tokens(rows)};
        data.ints["positions"] = counter_ids("positions", rows, 40);
        check(graph, data, label("rope", dtype, rows, 42));
      }
    }
  }
}

TEST_P(OpTest, GatherRows) {
  for (const bool addend : {false, true}) {
    for_each_size([&](DType dtype, int64_t rows, int64_t width) {
      const Graph graph = with_backward([&](Builder& b) {
        const ValueId table = weight(b, "table", {13, width}, dtype);
        const ValueId ids = b.input("ids", DType::kI32, {Symbol::kTokens});
        const ValueId add_to = addend ? matrix(b, "addend", dtype, width) : ValueId{};
        return gather_rows(b, table, ids, add_to, dtype, "gather");
      });
      RunData data{.bindings = bind_tokens(rows)};
      data.ints["ids"] = counter_ids("ids", rows, 13);  // some rows more than once
      check(graph, data, label("gather_rows", dtype, rows, width));
    });
  }
}

// With and without each of the optional terms.
TEST_P(OpTest, Linear) {
  for (const int terms : {0, 1, 2, 3, 4, 7}) {
    for_each_size([&](DType dtype, int64_t rows, int64_t inner) {
      const int64_t outer = rows + 2, rank = 3;
      const Graph graph = with_backward([&](Builder& b) {
        LinearOptions options;
        if (terms & 1) options.bias = weight(b, "bias", {outer});
        if (terms & 2) options.residual = matrix(b, "residual", dtype, outer);
        if (terms & 4) {
          options.low_rank_down = matrix(b, "down", dtype, rank);
          options.low_rank_up = weight(b, "up", {outer, rank}, dtype);
        }
        return linear(b, matrix(b, "x", dtype, inner), weight(b, "w", {outer, inner}, dtype),
                      options, "linear");
      });
      // The low-rank term goes through y, which a bf16 result rounds once more.
      const double factor = (terms & 4) && dtype == DType::kBF16 ? 2 : 1;
      check(graph, {.bindings = bind_tokens(rows)},
            label("linear", dtype, rows, inner) + fmt::format(" terms {}", terms), factor);
    });
  }
}

TEST_P(OpTest, LinearWithFusedActivationAndF32Result) {
  for (const kernels::Activation f : kActivations) {
    for_each_size([&](DType dtype, int64_t rows, int64_t inner) {
      const Graph graph = forward_graph([&](Builder& b) {
        LinearOptions options;
        options.bias = weight(b, "bias", {19});
        options.activation = f;
        return linear(b, matrix(b, "x", dtype, inner), weight(b, "w", {19, inner}, dtype), options,
                      "linear", DType::kF32);
      });
      check(graph, {.bindings = bind_tokens(rows)}, label(name(f), dtype, rows, inner));
    });
  }
}

TEST_P(OpTest, AttentionWithAlibi) {
  for (const DType dtype : kDTypes) {
    for (const auto& [window, bf16_bias] : {std::pair(0, 0.f), {5, 0.f}, {0, 0.7f}}) {
      AttentionSpec spec{.heads = 6, .kv_heads = 2, .head_dim = 9, .mask = {}};
      spec.mask = {.causal = true, .window = window, .scale = 0.5f, .bf16_bias = bf16_bias};
      spec.slopes = {0.5f, 0.25f, 0.125f, 0.0625f, 1.0f, 0.3f};
      const Graph graph = with_backward([&](Builder& b) {
        const ValueId rows = b.input("row_start", DType::kI32, {Dim(Symbol::kSeqs, 1, 1)});
        return attention(b, matrix(b, "q", dtype, 54), matrix(b, "k", dtype, 18),
                         matrix(b, "v", dtype, 18), rows, spec, "attention");
      });
      RunData data{.bindings = bind_tokens(150, 3)};
      data.ints["row_start"] = {0, 17, 18, 150};
      // As below; with more keys a row, bf16's delta is a mean that cancels more.
      check(graph, data, label("alibi", dtype, 150, window), dtype == DType::kBF16 ? 8 : 4);
    }
  }
}

TEST_P(OpTest, Attention) {
  const kernels::AttentionMask masks[] = {{.causal = false, .scale = 0.5f},
                                          {.causal = true, .scale = 0.5f},
                                          {.causal = true, .window = 5, .scale = 0.5f},
                                          {.causal = true, .scale = 0.5f, .softcap = 2}};
  constexpr double kDropout = 0.3;
  const std::vector<int32_t> batches[] = {{0, 1}, {0, 7}, {0, 8, 9, 18}, {0, 17, 50}};
  for (const DType dtype : kDTypes) {
    for (const auto& mask : masks) {
      for (const auto& row_start : batches) {
        AttentionSpec spec{.heads = 6, .kv_heads = 2, .head_dim = 9, .mask = mask};
        if (row_start.size() > 2) spec.dropout = kDropout;
        const Graph graph = with_backward([&](Builder& b) {
          const ValueId rows = b.input("row_start", DType::kI32, {Dim(Symbol::kSeqs, 1, 1)});
          return attention(b, matrix(b, "q", dtype, 54), matrix(b, "k", dtype, 18),
                           matrix(b, "v", dtype, 18), rows, spec, "attention");
        });
        RunData data{.bindings =
                         bind_tokens(row_start.back(), static_cast<int64_t>(row_start.size()) - 1)};
        data.ints["row_start"] = row_start;
        data.state.first_token = 5;
        // Scores carry the rounding of a whole dot product and are exponentiated; backward in bf16
        // starts from the rounded result of forward, a mean of fewer values with dropout.
        check(graph, data, label("attention", dtype, row_start.back(), 54),
              spec.dropout > 0 ? 8 : 4);
      }
    }
  }
}

}  // namespace
}  // namespace ashlar::graph
