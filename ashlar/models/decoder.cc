#include "ashlar/models/decoder.h"

#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/rows.h"
#include "ashlar/models/decoder_attention.h"
#include "ashlar/models/decoder_latent.h"
#include "ashlar/models/decoder_mlp.h"
#include "ashlar/models/mixture.h"
#include "ashlar/models/rope_table.h"

#include <fmt/format.h>

#include <algorithm>

namespace ashlar::models {
namespace {

using graph::Builder;
using graph::ValueId;

ValueId embedding(const DecoderParts& parts) {
  const DecoderConfig& config = parts.config();
  const int64_t width = config.embedding_width > 0 ? config.embedding_width : config.width;
  return parts.table("embed.weight", config.vocab, width, "vocab");
}

class Decoder {
 public:
  Decoder(Builder& b, const DecoderConfig& config, const DecoderOptions& options, KeySource& keys)
      : b_(b), config_(config), parts_(b, config, options), keys_(keys) {}

  DecoderStates build(const DecoderInputs& inputs) {
    at_.positions = inputs.positions;
    if (config_.positions == Positions::kRotary) add_rope_tables();
    ValueId x = embed(inputs);
    for (int i = 0; i < static_cast<int>(config_.layers); ++i) {
      const auto scope = b_.layer_scope(fmt::format("layers.{}", i), i);
      x = layer(i, x);
    }
    if (config_.final_norm) x = parts_.norm(x, "final_norm");
    if (config_.embedding_width > 0) {
      x = parts_.project(
          x, {"project_out", config_.embedding_width, config_.width, "embedding", "embed", false});
    }
    return {scale(b_, x, config_.logit_scale, "logit_scale"), expert_load_};
  }

 private:
  void add_rope_tables() {
    const int64_t asked = parts_.options().max_positions;
    const int64_t rows = asked > 0 ? asked : config_.max_positions;
    const auto table = [&](const std::string& name, const RopeConfig& rope) {
      const int64_t all = has_long_rows(rope, rows) ? 2 * rows : rows;
      return b_.constant(name, {all, rope.rotary_dim}, rope_table(rope, rows));
    };
    // A stage of a pipeline looks for what the graph has, used or not.
    const auto any_layer = [&](bool local) {
      for (int64_t i = 0; i < config_.layers; ++i) {
        if (config_.layer(i).local_rope == local) return true;
      }
      return false;
    };
    if (any_layer(true)) at_.local_table = table("rope.local_table", config_.local_rope);
    at_.local_rows = at_.positions;
    if (!any_layer(false)) return;
    at_.rope_table = table("rope.table", config_.rope);
    at_.rope_rows = at_.positions;
    if (has_long_rows(config_.rope, rows)) {
      at_.rope_rows =
          keys_.rope_rows(b_, at_.positions, {config_.rope.original_max_positions, rows});
    }
  }

  ValueId embed(const DecoderInputs& inputs) {
    const DType dtype = parts_.options().activations;
    ValueId added;
    if (inputs.token_types.valid()) {
      const ValueId weight =
          parts_.table("token_types.weight", config_.token_types, config_.width, "type");
      added = gather_rows(b_, weight, inputs.token_types, {}, dtype, "token_types");
    }
    // Rotary positions are applied to queries and keys instead.
    if (config_.positions == Positions::kLearned) {
      const int64_t rows = config_.max_positions + config_.position_offset;
      const ValueId weight = parts_.table("positions.weight", rows, config_.width, "position");
      added = gather_rows(b_, weight, at_.positions, added, dtype, "positions",
                          -config_.position_offset);
    }
    const double factor = config_.embedding_factor();
    const bool plain = config_.embedding_width == 0 && factor == 1;
    ValueId x = gather_rows(b_, embedding(parts_), inputs.tokens, plain ? added : ValueId{}, dtype,
                            "embed");
    if (config_.embedding_width > 0) {
      x = parts_.project(
          x, {"project_in", config_.width, config_.embedding_width, "embed", "embedding", false});
    }
    x = scale(b_, x, factor, "embed.scale");
    if (!plain && added.valid()) x = add(b_, x, added, "embed.add");
    if (config_.embedding_norm) x = parts_.norm(x, "embed_norm");
    return dropout(b_, x, config_.embedding_dropout, "embed.dropout");
  }

  ValueId layer(int i, ValueId x) {
    const bool stream = config_.norm_placement == NormPlacement::kStream;
    const bool on_input = config_.norm_placement == NormPlacement::kInput ||
                          config_.norm_placement == NormPlacement::kBoth;
    const auto input_norm = [&](ValueId from, const char* name) {
      return on_input ? parts_.norm(from, name) : from;
    };
    const auto behind = [&](ValueId sum, const char* name) {
      return stream ? parts_.norm(sum, name) : sum;
    };
    const auto residual_of = [&](ValueId from, ValueId normed) {
      return config_.residual_from_norm ? normed : from;
    };
    const bool bare = i == 0 && !config_.first_norm;
    const ValueId normed = bare ? x : input_norm(x, "attn_norm");
    const ValueId y = behind(attend(i, normed, residual_of(x, normed)), "attn_norm");
    switch (config_.mlp_input) {
      case MlpInput::kAttention: {
        const ValueId inner = input_norm(y, "mlp_norm");
        return behind(feed_forward(i, inner, residual_of(y, inner)), "mlp_norm");
      }
      case MlpInput::kLayer:
        return feed_forward(i, input_norm(x, "mlp_norm"), y);
      case MlpInput::kLayerOneNorm:
        return feed_forward(i, normed, y);
    }
    return y;
  }

  ValueId attend(int64_t layer, ValueId x, ValueId residual) {
    return config_.latent.enabled ? latent_attention(parts_, at_, keys_, layer, x, residual)
                                  : attention(parts_, at_, keys_, layer, x, residual);
  }

  ValueId feed_forward(int64_t layer, ValueId x, ValueId residual) {
    return config_.has_experts(layer) ? mixture(x, residual) : mlp(parts_, x, residual);
  }

  ValueId mixture(ValueId x, ValueId residual) {
    const auto scope = b_.scope("mlp");
    const bool adds = parts_.joins_plainly();  // the sum is the last op's epilogue
    const MixtureStates y =
        mixture_of_experts(parts_, x, adds ? residual : ValueId{}, expert_load_);
    expert_load_ = y.load;
    return adds ? y.y : parts_.join(residual, y.y, "combine");
  }

  Builder& b_;
  const DecoderConfig& config_;
  DecoderParts parts_;
  KeySource& keys_;
  PositionInputs at_;
  ValueId expert_load_;  // of the layers so far
};

}  // namespace

DecoderStates hidden_states(Builder& b, const DecoderConfig& config, const DecoderOptions& options,
                            const DecoderInputs& inputs, KeySource& keys) {
  return Decoder(b, config, options, keys).build(inputs);
}

ValueId head_input(Builder& b, const DecoderConfig& config, const DecoderOptions& options,
                   ValueId hidden) {
  if (!config.head_transform.enabled) return hidden;
  const auto scope = b.scope("head");
  const DecoderParts parts(b, config, options);
  const int64_t width = config.width;
  const ValueId dense =
      parts.project(hidden, {"dense", width, width, "head", "embed", config.head_transform.bias});
  return parts.norm(activation(b, dense, config.head_transform.activation, "act"), "norm");
}

ValueId head_weight(Builder& b, const DecoderConfig& config, const DecoderOptions& options) {
  const DecoderParts parts(b, config, options);
  if (config.tied_head) return embedding(parts);
  const int64_t width = config.embedding_width > 0 ? config.embedding_width : config.width;
  return parts.table("head.weight", config.vocab, width, "vocab");
}

ValueId head_bias(Builder& b, const DecoderConfig& config) {
  if (!config.head_bias) return {};
  return b.parameter("head.bias", {config.vocab}, {"vocab"}, {});
}

}  // namespace ashlar::models
