#include "ashlar/models/decoder.h"

#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/rope.h"
#include "ashlar/graph/ops/rows.h"
#include "ashlar/models/mixture.h"
#include "ashlar/models/rope_table.h"

#include <fmt/format.h>

#include <cmath>

namespace ashlar::models {
namespace {

using graph::Builder;
using graph::Init;
using graph::ValueId;

// One matrix of a layer: its rows are outputs.
struct Projection {
  const char* name;
  int64_t outputs, inputs;
  const char* output_dim;
  const char* input_dim;
  bool bias;
};

Init normal(double std) { return {Init::Kind::kNormal, static_cast<float>(std), {}}; }

// A row for each token, or each position.
ValueId table(Builder& b, const DecoderConfig& config, const DecoderOptions& options,
              const std::string& name, int64_t rows, const std::string& dim) {
  return b.parameter(name, {rows, config.width}, {dim, "embed"}, normal(config.initializer_range),
                     options.weights);
}

ValueId embedding(Builder& b, const DecoderConfig& config, const DecoderOptions& options) {
  return table(b, config, options, "embed.weight", config.vocab, "vocab");
}

class Decoder {
 public:
  Decoder(Builder& b, const DecoderConfig& config, const DecoderOptions& options, KeySource& keys)
      : b_(b), config_(config), options_(options), keys_(keys) {}

  DecoderStates build(const DecoderInputs& inputs) {
    positions_ = inputs.positions;
    if (config_.positions == Positions::kRotary) rotary_table_ = rotary_table();
    ValueId x = embed(inputs);
    for (int layer = 0; layer < static_cast<int>(config_.layers); ++layer) {
      const auto scope = b_.layer_scope(fmt::format("layers.{}", layer), layer);
      x = attention(norm(x, "attn_norm"), x);
      const ValueId normed = norm(x, "mlp_norm");
      x = config_.mixture.experts > 0 ? mixture(normed, x) : mlp(normed, x);
    }
    return {norm(x, "final_norm"), expert_load_};
  }

 private:
  ValueId rotary_table() {
    const int64_t rows =
        options_.max_positions > 0 ? options_.max_positions : config_.max_positions;
    return b_.constant("rope.table", {rows, config_.rope.rotary_dim},
                       rope_table(config_.rope, rows));
  }

  ValueId embed(const DecoderInputs& inputs) {
    ValueId positions;  // rotary ones are applied to queries and keys instead
    if (config_.positions == Positions::kLearned) {
      const ValueId weight =
          table(b_, config_, options_, "positions.weight", config_.max_positions, "position");
      positions = gather_rows(b_, weight, positions_, {}, options_.activations, "positions");
    }
    const ValueId x = gather_rows(b_, embedding(b_, config_, options_), inputs.tokens, positions,
                                  options_.activations, "embed");
    return dropout(b_, x, config_.embedding_dropout, "embed.dropout");
  }

  ValueId attention(ValueId x, ValueId residual) {
    const auto scope = b_.scope("attn");
    const int64_t width = config_.width, q_width = config_.heads * config_.head_dim;
    const int64_t kv_width = config_.kv_heads * config_.head_dim;
    const bool bias = config_.qkv_bias;
    ValueId q = project(x, {"q", q_width, width, "heads", "embed", bias});
    ValueId k = project(x, {"k", kv_width, width, "kv_heads", "embed", bias});
    const ValueId v = project(x, {"v", kv_width, width, "kv_heads", "embed", bias});
    if (config_.positions == Positions::kRotary) {
      q = rotate(q, config_.heads, "q.rope");
      k = rotate(k, config_.kv_heads, "k.rope");
    }
    graph::AttentionSpec spec{config_.heads, config_.kv_heads, config_.head_dim, {}};
    spec.mask.window = config_.window;
    spec.mask.scale = static_cast<float>(1 / std::sqrt(static_cast<double>(config_.head_dim)));
    spec.dropout = config_.attention_dropout;
    const ValueId mixed = keys_.attend(b_, q, k, v, spec);
    return project_onto(residual, mixed, {"o", width, q_width, "embed", "heads", config_.o_bias});
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
    return project_onto(residual, inner, {"down", width, ffn, "embed", "ffn", bias});
  }

  ValueId mixture(ValueId x, ValueId residual) {
    const auto scope = b_.scope("mlp");
    const bool adds = config_.residual_dropout == 0;  // the sum is the last op's epilogue
    const MixtureStates y =
        mixture_of_experts(b_, config_, options_, x, adds ? residual : ValueId{}, expert_load_);
    expert_load_ = y.load;
    return adds ? y.y : add_dropped(residual, y.y, "combine");
  }

  ValueId norm(ValueId x, const std::string& name) {
    const Shape shape{config_.width};
    const ValueId weight =
        b_.parameter(name + ".weight", shape, {"embed"}, {Init::Kind::kOnes, 0, {}});
    if (config_.norm == graph::NormKind::kRms) {
      return rms_norm(b_, x, weight, config_.norm_eps, name);
    }
    const ValueId bias = b_.parameter(name + ".bias", shape, {"embed"}, {});
    return layer_norm(b_, x, weight, bias, config_.norm_eps, name);
  }

  ValueId rotate(ValueId x, int64_t heads, const std::string& name) {
    const graph::RopeSpec spec{heads, config_.head_dim, config_.rope.rotary_dim,
                               config_.rope.interleaved};
    return rope(b_, x, positions_, rotary_table_, spec, name);
  }

  ValueId project(ValueId x, const Projection& p) {
    const ValueId weight = matrix(p, config_.initializer_range);
    return linear(b_, x, weight, {.bias = bias(p)}, p.name);
  }

  // residual + dropout(projection of x); without dropout the sum is the projection's epilogue.
  ValueId project_onto(ValueId residual, ValueId x, const Projection& p) {
    const ValueId weight = matrix(p, output_std(config_));
    graph::LinearOptions terms{.bias = bias(p)};
    const std::string name = p.name;
    if (config_.residual_dropout == 0) {
      terms.residual = residual;
      return linear(b_, x, weight, terms, name);
    }
    return add_dropped(residual, linear(b_, x, weight, terms, name), name);
  }

  ValueId add_dropped(ValueId residual, ValueId y, const std::string& name) {
    return add(b_, residual, dropout(b_, y, config_.residual_dropout, name + ".dropout"),
               name + ".add");
  }

  ValueId matrix(const Projection& p, double std) {
    return b_.parameter(fmt::format("{}.weight", p.name), {p.outputs, p.inputs},
                        {p.output_dim, p.input_dim}, normal(std), options_.weights);
  }

  ValueId bias(const Projection& p) {
    if (!p.bias) return {};
    return b_.parameter(fmt::format("{}.bias", p.name), {p.outputs}, {p.output_dim}, {});
  }

  Builder& b_;
  const DecoderConfig& config_;
  const DecoderOptions& options_;
  KeySource& keys_;
  ValueId positions_;
  ValueId rotary_table_;
  ValueId expert_load_;  // of the layers so far
};

}  // namespace

DecoderStates hidden_states(Builder& b, const DecoderConfig& config, const DecoderOptions& options,
                            const DecoderInputs& inputs, KeySource& keys) {
  return Decoder(b, config, options, keys).build(inputs);
}

ValueId head_weight(Builder& b, const DecoderConfig& config, const DecoderOptions& options) {
  if (config.tied_head) return embedding(b, config, options);
  return table(b, config, options, "head.weight", config.vocab, "vocab");
}

}  // namespace ashlar::models
