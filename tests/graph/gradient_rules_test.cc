// The gradient rule of each op, alone in a graph: what its backward gives for every float input and
// parameter, in double, against central differences of sum(y d_y).
#include "ashlar/graph/ops/attention.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/grouped_linear.h"
#include "ashlar/graph/ops/latent_attention.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/loss.h"
#include "ashlar/graph/ops/moe_assign.h"
#include "ashlar/graph/ops/moe_load.h"
#include "ashlar/graph/ops/moe_route.h"
#include "ashlar/graph/ops/moe_rows.h"
#include "ashlar/graph/ops/norm.h"
#include "ashlar/graph/ops/rope.h"
#include "ashlar/graph/ops/row_gate.h"
#include "ashlar/graph/ops/rows.h"
#include "ashlar/graph/ops/softcap.h"
#include "ashlar/runtime/reference_run.h"
#include "tests/graph/counter_values.h"
#include "tests/graph/graph_run.h"
#include "tests/kernels/central_differences.h"

#include <gtest/gtest.h>

namespace ashlar::graph {
namespace {

constexpr int64_t kRows = 7;

struct Case {
  const char* name;
  ValueId (*build)(Builder& b);
  std::map<std::string, std::vector<int32_t>> ints = {};
  std::vector<std::string> gradients;  // of inputs "x" and parameters
};

ValueId matrix(Builder& b, const std::string& name, int64_t width) {
  return b.input(name, DType::kF32, {Symbol::kTokens, width});
}
ValueId weight(Builder& b, const std::string& name, Shape shape) {
  return b.parameter(name, shape, {}, {Init::Kind::kNormal, 1, {}});
}

template <kernels::Activation f>
ValueId activation_of(Builder& b) {
  return activation(b, matrix(b, "x", 5), f, "f");
}
template <kernels::Activation f>
ValueId gated_of(Builder& b) {
  return gated(b, matrix(b, "gate", 5), matrix(b, "up", 5), f, "f");
}
template <bool causal, int window, int softcap, int dropout_percent = 0>
ValueId attention_of(Builder& b) {
  AttentionSpec spec{.heads = 4, .kv_heads = 2, .head_dim = 3, .mask = {}};
  spec.mask = {.causal = causal, .window = window, .scale = 0.7f, .softcap = softcap};
  spec.dropout = dropout_percent / 100.0;
  const ValueId rows = b.input("row_start", DType::kI32, {Dim(Symbol::kSeqs, 1, 1)});
  return attention(b, matrix(b, "q", 12), matrix(b, "k", 6), matrix(b, "v", 6), rows, spec, "a");
}
ValueId alibi_of(Builder& b) {
  AttentionSpec spec{.heads = 4, .kv_heads = 2, .head_dim = 3, .mask = {}};
  spec.mask = {.causal = true, .scale = 0.7f, .softcap = 2};
  spec.slopes = {0.5f, 0.25f, 0.125f, 0.0625f};
  const ValueId rows = b.input("row_start", DType::kI32, {Dim(Symbol::kSeqs, 1, 1)});
  return attention(b, matrix(b, "q", 12), matrix(b, "k", 6), matrix(b, "v", 6), rows, spec, "a");
}
// Two heads of three channels.
template <NormKind kind, bool own, bool zero_centred>
ValueId head_norm_of(Builder& b) {
  const Shape shape = own ? Shape{2, 3} : Shape{3};
  const ValueId bias = kind == NormKind::kLayer ? weight(b, "b", shape) : ValueId{};
  return norm(b, matrix(b, "x", 6), weight(b, "w", shape), bias, {kind, 1e-5, 3, zero_centred},
              "n");
}
ValueId loss_of(Builder& b, const ValueId bias, double softcap) {
  return linear_cross_entropy(b, matrix(b, "x", 5), weight(b, "w", {6, 5}),
                              b.input("ids", DType::kI32, {Symbol::kTokens}),
                              b.constant("scale", {1}, {0.25f}), "loss", bias, softcap);
}
// Values of another size than keys.
ValueId attention_values_of(Builder& b) {
  AttentionSpec spec{.heads = 4, .kv_heads = 2, .head_dim = 3, .mask = {.scale = 0.7f}};
  spec.value_dim = 2;
  const ValueId rows = b.input("row_start", DType::kI32, {Dim(Symbol::kSeqs, 1, 1)});
  return attention(b, matrix(b, "q", 12), matrix(b, "k", 6), matrix(b, "v", 4), rows, spec, "a");
}
ValueId latent_keys_of(Builder& b) {
  const LatentSpec spec{.heads = 2, .own = 3, .shared = 2, .value = 2};
  const auto [k, v] = latent_keys(b, matrix(b, "x", 10), matrix(b, "shared", 2), spec, "keys");
  AttentionSpec attends{.heads = 2, .kv_heads = 2, .head_dim = 5, .mask = {.scale = 0.7f}};
  attends.value_dim = 2;
  const ValueId rows = b.input("row_start", DType::kI32, {Dim(Symbol::kSeqs, 1, 1)});
  return attention(b, matrix(b, "q", 10), k, v, rows, attends, "a");
}
ValueId row_gate_of(Builder& b) {
  return row_gate(b, matrix(b, "x", 5), matrix(b, "gate", 1), matrix(b, "residual", 5), "gate");
}
template <bool interleaved>
ValueId rope_end_of(Builder& b) {
  const ValueId positions = b.input("positions", DType::kI32, {Symbol::kTokens});
  const ValueId table = b.constant("table", {9, 4}, counter_values("table", 36));
  return rope(b, matrix(b, "x", 12), positions, table, {2, 6, 4, interleaved, 2}, "rope");
}
template <bool interleaved>
ValueId rope_of(Builder& b) {
  const ValueId positions = b.input("positions", DType::kI32, {Symbol::kTokens});
  const ValueId table = b.constant("table", {9, 4}, counter_values("table", 36));
  return rope(b, matrix(b, "x", 12), positions, table, {2, 6, 4, interleaved}, "rope");
}

template <bool renormalise>
ValueId route_of(Builder& b) {
  return moe_route(b, matrix(b, "x", 5), {3, renormalise}, "route").weights;
}
// DeepSeek's: scaled weights of a softmax and of sigmoids, chosen in groups.
template <bool renormalise, kernels::RouteScore score>
ValueId scaled_route_of(Builder& b) {
  const bool sigmoids = score == kernels::RouteScore::kSigmoid;
  const RouteSpec spec{.top_k = 3,
                       .renormalise = renormalise,
                       .score = score,
                       .scale = 2.5f,
                       .groups = 4,
                       .top_groups = 2,
                       .group_best = sigmoids ? 2 : 1};
  const ValueId bias =
      sigmoids ? b.constant("bias", {8}, {0.1f, 0, -0.2f, 0, 0.3f, 0, 0, -0.1f}) : ValueId{};
  return moe_route(b, matrix(b, "x", 8), bias, spec, "route").weights;
}
// Over the tokens of two layers.
ValueId balance_of(Builder& b) {
  ValueId load;
  for (const char* layer : {"x", "other"}) {
    const ValueId logits = matrix(b, layer, 5);
    const Route route = moe_route(b, logits, {2, true}, std::string("route_") + layer);
    load = moe_load(b, logits, route.experts, load, std::string("load_") + layer);
  }
  return moe_balance(b, load, b.constant("scale", {1}, {0.25f}), {2, 1}, "balance");
}
// Three experts of which one takes two pairs at most, so that some are dropped.
ValueId moe_rows_of(Builder& b) {
  const ValueId experts = b.input("experts", DType::kI32, {Symbol::kTokens, 2});
  const ValueId weights = matrix(b, "weights", 2);
  const Assignment a = moe_assign(b, experts, weights, {3, 0.5}, "assign");
  const ValueId rows = moe_dispatch(b, matrix(b, "x", 5), a.slots, a.sources, "dispatch");
  const ValueId squares = gated(b, rows, rows, kernels::Activation::kSilu, "act");
  return moe_combine(b, squares, weights, a.slots, a.sources, matrix(b, "residual", 5), "combine");
}
// An expert without rows, and a row without an expert.
ValueId grouped_linear_of(Builder& b) {
  const ValueId offsets = b.input("offsets", DType::kI32, {4});
  return grouped_linear(b, matrix(b, "x", 5), weight(b, "w", {3, 4, 5}), offsets, "grouped");
}

const std::map<std::string, std::vector<int32_t>> kPacked = {{"row_start", {0, 2, 7}}};

const std::vector<Case>& cases() {
  using enum kernels::Activation;
  static const std::vector<Case> all = {
      {"gelu", activation_of<kGeluErf>, {}, {"x"}},
      {"gelu_tanh", activation_of<kGeluTanh>, {}, {"x"}},
      {"silu", activation_of<kSilu>, {}, {"x"}},
      {"relu", activation_of<kRelu>, {}, {"x"}},
      {"gelu_quick", activation_of<kGeluQuick>, {}, {"x"}},
      {"relu_squared", activation_of<kReluSquared>, {}, {"x"}},
      {"tanh", activation_of<kTanh>, {}, {"x"}},
      {"sigmoid", activation_of<kSigmoid>, {}, {"x"}},
      {"scale", [](Builder& b) { return scale(b, matrix(b, "x", 5), 0.3, "s"); }, {}, {"x"}},
      {"softcap", [](Builder& b) { return softcap(b, matrix(b, "x", 5), 1.5, "s"); }, {}, {"x"}},
      {"swiglu", gated_of<kSilu>, {}, {"gate", "up"}},
      {"geglu", gated_of<kGeluTanh>, {}, {"gate", "up"}},
      {"geglu_erf", gated_of<kGeluErf>, {}, {"gate", "up"}},
      {"reglu", gated_of<kRelu>, {}, {"gate", "up"}},
      // The sum's own gradient is d_y itself: here each term comes through an op of its own.
      {"add",
       [](Builder& b) {
         const ValueId x = matrix(b, "x", 5);
         return add(b, activation(b, x, kSilu, "f"), gated(b, x, x, kGeluErf, "g"), "add");
       },
       {},
       {"x"}},
      {"dropout", [](Builder& b) { return dropout(b, matrix(b, "x", 5), 0.4, "drop"); }, {}, {"x"}},
      {"cast", [](Builder& b) { return cast(b, matrix(b, "x", 5), DType::kBF16, "c"); }, {}, {"x"}},
      {"linear",
       [](Builder& b) {
         return linear(b, matrix(b, "x", 5), weight(b, "w", {4, 5}), {.bias = weight(b, "b", {4})},
                       "linear");
       },
       {},
       {"x", "w", "b"}},
      {"rms_norm",
       [](Builder& b) { return rms_norm(b, matrix(b, "x", 5), weight(b, "w", {5}), 1e-5, "n"); },
       {},
       {"x", "w"}},
      {"layer_norm",
       [](Builder& b) {
         return layer_norm(b, matrix(b, "x", 5), weight(b, "w", {5}), weight(b, "b", {5}), 1e-5,
                           "n");
       },
       {},
       {"x", "w", "b"}},
      {"rms_norm_of_heads", head_norm_of<NormKind::kRms, false, true>, {}, {"x", "w"}},
      {"rms_norm_of_each_head", head_norm_of<NormKind::kRms, true, false>, {}, {"x", "w"}},
      {"layer_norm_of_heads", head_norm_of<NormKind::kLayer, false, false>, {}, {"x", "w", "b"}},
      {"layer_norm_of_each_head", head_norm_of<NormKind::kLayer, true, true>, {}, {"x", "w", "b"}},
      {"rope", rope_of<false>, {{"positions", {0, 1, 2, 0, 1, 8, 3}}}, {"x"}},
      {"rope_interleaved", rope_of<true>, {{"positions", {0, 1, 2, 0, 1, 8, 3}}}, {"x"}},
      {"rope_end", rope_end_of<false>, {{"positions", {0, 1, 2, 0, 1, 8, 3}}}, {"x"}},
      {"rope_end_interleaved", rope_end_of<true>, {{"positions", {0, 1, 2, 0, 1, 8, 3}}}, {"x"}},
      {"gather_rows",
       [](Builder& b) {
         return gather_rows(b, weight(b, "table", {6, 5}),
                            b.input("ids", DType::kI32, {Symbol::kTokens}), {}, DType::kF32, "e");
       },
       {{"ids", {0, 3, 3, 5, 0, 3, 1}}},
       {"table"}},
      {"gather_rows_with_offset",
       [](Builder& b) {
         return gather_rows(b, weight(b, "table", {8, 5}),
                            b.input("ids", DType::kI32, {Symbol::kTokens}), {}, DType::kF32, "e",
                            -2);
       },
       {{"ids", {0, 3, 3, 5, 0, 3, 1}}},
       {"table"}},
      {"gather_rows_on_top",
       [](Builder& b) {
         const ValueId ids = b.input("ids", DType::kI32, {Symbol::kTokens});
         const ValueId first =
             gather_rows(b, weight(b, "table", {6, 5}), ids, {}, DType::kF32, "e");
         return gather_rows(b, weight(b, "other", {8, 5}), ids, first, DType::kF32, "p");
       },
       {{"ids", {0, 3, 3, 5, 0, 3, 1}}},
       {"table", "other"}},
      {"attention_full", attention_of<false, 0, 0>, kPacked, {"q", "k", "v"}},
      {"attention_causal", attention_of<true, 0, 0>, kPacked, {"q", "k", "v"}},
      {"attention_window", attention_of<true, 2, 0>, kPacked, {"q", "k", "v"}},
      {"attention_softcap", attention_of<true, 0, 2>, kPacked, {"q", "k", "v"}},
      {"attention_alibi", alibi_of, kPacked, {"q", "k", "v"}},
      {"attention_dropout", attention_of<true, 0, 0, 30>, kPacked, {"q", "k", "v"}},
      {"attention_values", attention_values_of, kPacked, {"q", "k", "v"}},
      {"latent_keys", latent_keys_of, kPacked, {"q", "x", "shared"}},
      {"row_gate", row_gate_of, {}, {"x", "gate"}},
      {"attention_all", attention_of<true, 4, 2, 50>, kPacked, {"q", "k", "v"}},
      {"loss",
       [](Builder& b) {
         return linear_cross_entropy(b, matrix(b, "x", 5), weight(b, "w", {6, 5}),
                                     b.input("ids", DType::kI32, {Symbol::kTokens}),
                                     b.constant("scale", {1}, {0.25f}), "loss");
       },
       {{"ids", {0, 3, -1, 5, 0, 3, -1}}},
       {"x", "w"}},
      {"loss_with_bias_and_softcap",
       [](Builder& b) { return loss_of(b, weight(b, "b", {6}), 2); },
       {{"ids", {0, 3, -1, 5, 0, 3, -1}}},
       {"x", "w", "b"}},
      {"moe_route", route_of<true>, {}, {"x"}},
      {"moe_route_switch", route_of<false>, {}, {"x"}},
      {"moe_route_groups", scaled_route_of<false, kernels::RouteScore::kSoftmax>, {}, {"x"}},
      {"moe_route_sigmoid", scaled_route_of<false, kernels::RouteScore::kSigmoid>, {}, {"x"}},
      {"moe_route_deepseek", scaled_route_of<true, kernels::RouteScore::kSigmoid>, {}, {"x"}},
      {"moe_balance", balance_of, {}, {"x", "other"}},
      {"moe_rows",
       moe_rows_of,
       {{"experts", {0, 1, 0, 2, 1, 0, 0, 2, 0, 1, 2, 1, 0, 2}}},
       {"x", "weights"}},
      {"grouped_linear", grouped_linear_of, {{"offsets", {0, 2, 2, 6}}}, {"x", "w"}},
  };
  return all;
}

// A run in double with every float input set to its counter_values.
runtime::ReferenceRun make_run(const Graph& graph, const Case& c) {
  const auto found = c.ints.find("row_start");
  const Bindings bindings = bind_tokens(
      kRows, found == c.ints.end() ? 1 : static_cast<int64_t>(found->second.size()) - 1);
  runtime::VariableStore store(5);
  store.add_missing(graph);
  runtime::ReferenceRun run(graph, bindings, store);
  for (const auto& [name, values] : c.ints) run.set_input(name, values);
  for (const auto& [name, id] : graph.inputs()) {
    if (!is_float(graph.type(id).dtype)) continue;
    const int64_t elements = graph.type(id).shape.bind(bindings).elements();
    const std::vector<float> values = counter_values(name, elements, 2);
    run.set_input(name, std::vector<double>(values.begin(), values.end()));
  }
  return run;
}

class GradientRule : public ::testing::TestWithParam<Case> {};

TEST_P(GradientRule, EqualsCentralDifferences) {
  const Case& c = GetParam();
  const Graph forward = forward_graph(c.build), backward = with_backward(c.build);
  runtime::ReferenceRun run = make_run(forward, c), gradients = make_run(backward, c);
  const RunState state{.seed = 3, .step = 1};
  gradients.run(state);
  std::vector<double> d_y = {1};  // a loss starts by itself
  if (const auto input = backward.inputs().find("d_y"); input != backward.inputs().end()) {
    const auto size = static_cast<int64_t>(gradients.output("y").size());
    const std::vector<float> values = counter_values("d_y", size, 2);
    d_y.assign(values.begin(), values.end());
  }
  for (const std::string& name : c.gradients) {
    const bool parameter = forward.find_variable(name).has_value();
    std::vector<double> at;
    if (parameter) {
      at = run.variable(name);
    } else {
      const int64_t size = forward.type(forward.inputs().at(name)).shape[1].offset * kRows;
      const std::vector<float> values = counter_values(name, size, 2);
      at.assign(values.begin(), values.end());
    }
    const auto set = [&](const std::vector<double>& values) {
      if (parameter) {
        run.variable(name) = values;
      } else {
        run.set_input(name, values);
      }
    };
    const auto loss = [&](const std::vector<double>& values) {
      set(values);
      run.run(state);
      return kernels::dot(run.output("y"), d_y);
    };
    const std::vector<double>& found =
        parameter ? gradients.variable(name + ".grad") : gradients.output("d_" + name);
    kernels::expect_gradient(found, loss, at, std::string(c.name) + " " + name);
    set(at);
  }
}

INSTANTIATE_TEST_SUITE_P(Ops, GradientRule, ::testing::ValuesIn(cases()),
                         [](const auto& test) { return std::string(test.param.name); });

}  // namespace
}  // namespace ashlar::graph
