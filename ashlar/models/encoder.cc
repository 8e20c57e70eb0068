#include "ashlar/models/encoder.h"

#include "ashlar/graph/ops/attention.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/norm.h"
#include "ashlar/graph/ops/rope.h"
#include "ashlar/graph/ops/rows.h"
#include "ashlar/models/rope_table.h"

#include <fmt/format.h>

#include <cmath>

namespace ashlar::models {
namespace {

using graph::Builder;
using graph::Dim;
using graph::Init;
using graph::Symbol;
using graph::ValueId;

// One matrix of a layer: its rows are outputs.
struct Projection {
  const char* name;
  int64_t outputs, inputs;
  const char* output_dim;
  const char* input_dim;
  bool bias;
};

class Encoder {
 public:
  Encoder(Builder& b, const EncoderConfig& config, const EncoderOptions& options)
      : b_(b), config_(config), options_(options) {}

  ValueId build() {
    const ValueId tokens = b_.input("tokens", DType::kI32, {Symbol::kTokens});
    positions_ = b_.input("positions", DType::kI32, {Symbol::kTokens});
    ValueId types;
    if (config_.token_types > 0) {
      types = b_.input("token_types", DType::kI32, {Symbol::kTokens});
    }
    row_start_ = b_.input("row_start", DType::kI32, {Dim(Symbol::kSeqs, 1, 1)});
    if (config_.positions == Positions::kRotary) {
      rope_table_ = rotary_table("rope.table", config_.rope);
      if (!config_.local.empty()) local_table_ = rotary_table("rope.local", config_.local_rope);
    }
    ValueId x = norm(embed(tokens, types), "embed_norm");
    for (int layer = 0; layer < static_cast<int>(config_.layers); ++layer) {
      const auto scope = b_.layer_scope(fmt::format("layers.{}", layer), layer);
      x = config_.norm_first ? norm_first_layer(x, layer) : norm_last_layer(x, layer);
    }
    return config_.norm_first ? norm(x, "final_norm") : x;
  }

 private:
  ValueId norm_last_layer(ValueId x, int layer) {
    x = norm(attention(x, x, layer), "attn_norm");
    return norm(mlp(x, x), "mlp_norm");
  }

  ValueId norm_first_layer(ValueId x, int layer) {
    x = attention(layer == 0 ? x : norm(x, "attn_norm"), x, layer);
    return mlp(norm(x, "mlp_norm"), x);
  }

  ValueId rotary_table(const std::string& name, const RopeConfig& rope) {
    const int64_t rows = config_.max_positions;
    return b_.constant(name, {rows, rope.rotary_dim}, rope_table(rope, rows));
  }

  ValueId embed(ValueId tokens, ValueId types) {
    ValueId sum;
    if (types.valid()) sum = gather("token_types", config_.token_types, "type", types, sum);
    if (config_.positions == Positions::kLearned) {
      const int64_t rows = config_.first_position + config_.max_positions;
      sum = gather("positions", rows, "position", positions_, sum);
    }
    return gather("embed", config_.vocab, "vocab", tokens, sum);
  }

  ValueId gather(const std::string& name, int64_t rows, const char* dim, ValueId ids,
                 ValueId addend) {
    const ValueId table = b_.parameter(name + ".weight", {rows, config_.width}, {dim, "embed"},
                                       normal(), options_.weights);
    return gather_rows(b_, table, ids, addend, options_.activations, name);
  }

  ValueId attention(ValueId x, ValueId residual, int layer) {
    const auto scope = b_.scope("attn");
    const int64_t width = config_.width, inner = config_.heads * config_.head_dim;
    const auto project_in = [&](const char* name) {
      return project(x, {name, inner, width, "heads", "embed", config_.qkv_bias});
    };
    ValueId q = project_in("q"), k = project_in("k");
    const ValueId v = project_in("v");
    const bool local = config_.is_local(layer);
    if (config_.positions == Positions::kRotary) {
      q = rotate(q, local, "q.rope");
      k = rotate(k, local, "k.rope");
    }
    graph::AttentionSpec spec{config_.heads, config_.heads, config_.head_dim, {}};
    spec.mask.causal = false;
    spec.mask.window = local ? config_.window : 0;
    spec.mask.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(config_.head_dim)));
    const ValueId mixed = graph::attention(b_, q, k, v, row_start_, spec, "attend");
    return project(mixed, {"o", width, inner, "embed", "heads", config_.o_bias}, residual);
  }

  ValueId mlp(ValueId x, ValueId residual) {
    const auto scope = b_.scope("mlp");
    const int64_t width = config_.width, ffn = config_.ffn;
    const bool bias = config_.mlp_bias;
    const auto inner_of = [&](const char* name) {
      return project(x, {name, ffn, width, "ffn", "embed", bias});
    };
    ValueId inner;
    if (config_.gated) {
      const ValueId gate = inner_of("gate"), up = inner_of("up");
      inner = gated(b_, gate, up, config_.activation, "act");
    } else {
      inner = activation(b_, inner_of("up"), config_.activation, "act");
    }
    return project(inner, {"down", width, ffn, "embed", "ffn", bias}, residual);
  }

  ValueId norm(ValueId x, const std::string& name) {
    const Shape shape{config_.width};
    const ValueId weight =
        b_.parameter(name + ".weight", shape, {"embed"}, {Init::Kind::kOnes, 0, {}});
    ValueId bias;
    if (config_.norm_bias) bias = b_.parameter(name + ".bias", shape, {"embed"}, {});
    return layer_norm(b_, x, weight, bias, config_.norm_eps, name);
  }

  ValueId rotate(ValueId x, bool local, const std::string& name) {
    const RopeConfig& rope = local ? config_.local_rope : config_.rope;
    const graph::RopeSpec spec{config_.heads, config_.head_dim, rope.rotary_dim, rope.interleaved};
    return graph::rope(b_, x, positions_, local ? local_table_ : rope_table_, spec, name);
  }

  ValueId project(ValueId x, const Projection& p, ValueId residual = {}) {
    const std::string name = p.name;
    const ValueId weight = b_.parameter(name + ".weight", {p.outputs, p.inputs},
                                        {p.output_dim, p.input_dim}, normal(), options_.weights);
    ValueId bias;
    if (p.bias) bias = b_.parameter(name + ".bias", {p.outputs}, {p.output_dim}, {});
    return linear(b_, x, weight, {.bias = bias, .residual = residual}, name);
  }

  Init normal() const {
    return {Init::Kind::kNormal, static_cast<float>(config_.initializer_range), {}};
  }

  Builder& b_;
  const EncoderConfig& config_;
  const EncoderOptions& options_;
  ValueId positions_, row_start_, rope_table_, local_table_;
};

}  // namespace

graph::Graph build_encoding(const EncoderConfig& config, const EncoderOptions& options) {
  graph::Graph graph;
  Builder b(graph);
  const ValueId hidden = Encoder(b, config, options).build();
  const bool narrow = options.activations != DType::kF32;
  graph.mark_output("hidden", narrow ? cast(b, hidden, DType::kF32, "hidden") : hidden);
  return graph;
}

}  // namespace ashlar::models
