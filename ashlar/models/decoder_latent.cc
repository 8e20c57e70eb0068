#include "ashlar/models/decoder_latent.h"

#include "ashlar/graph/ops/rope.h"

namespace ashlar::models {
namespace {

using graph::ValueId;

class LatentAttention {
 public:
  LatentAttention(const DecoderParts& parts, const PositionInputs& at)
      : parts_(parts), b_(parts.builder()), config_(parts.config()), at_(at) {}

  ValueId queries(ValueId x) const {
    const LatentConfig& latent = config_.latent;
    const int64_t width = config_.heads * latent.key();
    ValueId q;
    if (latent.query_rank > 0) {
      const ValueId few = parts_.project(
          x, {"q_a", latent.query_rank, config_.width, "latent", "embed", config_.qkv_bias});
      q = parts_.project(norm(few, latent.query_rank, "q_a_norm"),
                         {"q_b", width, latent.query_rank, "heads", "latent", false});
    } else {
      q = parts_.project(x, {"q", width, config_.width, "heads", "embed", false});
    }
    return rotate(q, config_.heads, latent.key(), "q.rope");
  }

  ValueId latents(ValueId x) const {
    const int64_t rank = config_.latent.rank;
    return norm(
        parts_.project(x, {"kv_a", rank, config_.width, "latent", "embed", config_.qkv_bias}), rank,
        "kv_a_norm");
  }

  ValueId shared_key(ValueId x) const {
    const int64_t shared = config_.latent.shared;
    const ValueId key = parts_.project(
        x, {"k_rope", shared, config_.width, "shared_key", "embed", config_.qkv_bias});
    return rotate(key, 1, shared, "k_rope.rope");
  }

  ValueId up_weight() const {
    const LatentConfig& latent = config_.latent;
    return b_.parameter(
        "kv_b.weight", {config_.heads * (latent.own + latent.value), latent.rank},
        {"heads", "latent"},
        {graph::Init::Kind::kNormal, static_cast<float>(config_.initializer_range), {}},
        parts_.options().weights);
  }

 private:
  ValueId norm(ValueId x, int64_t width, const std::string& name) const {
    const ValueId weight =
        b_.parameter(name + ".weight", {width}, {"latent"}, {graph::Init::Kind::kOnes, 0, {}});
    return rms_norm(b_, x, weight, config_.latent.norm_eps, name);
  }

  // The last channels of each head.
  ValueId rotate(ValueId x, int64_t heads, int64_t head_dim, const std::string& name) const {
    const int64_t rotary = config_.rope.rotary_dim;
    const graph::RopeSpec spec{heads, head_dim, rotary, config_.rope.interleaved,
                               head_dim - rotary};
    return rope(b_, x, at_.rope_rows, at_.rope_table, spec, name);
  }

  const DecoderParts& parts_;
  graph::Builder& b_;
  const DecoderConfig& config_;
  const PositionInputs& at_;
};

}  // namespace

ValueId latent_attention(const DecoderParts& parts, const PositionInputs& at, KeySource& keys,
                         int64_t layer, ValueId x, ValueId residual) {
  const auto scope = parts.builder().scope("attn");
  const DecoderConfig& config = parts.config();
  const LatentConfig& latent = config.latent;
  const LatentAttention of(parts, at);
  const graph::LatentSpec spec{config.heads, latent.own, latent.shared, latent.value, latent.rank};
  graph::AttentionSpec attention{config.heads, config.heads, latent.key(), {}};
  attention.value_dim = latent.value;
  attention.mask.window = config.layer(layer).window;
  attention.mask.scale = static_cast<float>(config.score_scale(layer));
  attention.dropout = config.attention_dropout;
  const ValueId mixed = keys.attend_latent(
      parts.builder(), {of.queries(x), of.latents(x), of.shared_key(x), of.up_weight()}, spec,
      attention);
  return parts.project_onto(
      residual, mixed,
      {"o", config.width, config.heads * latent.value, "embed", "heads", config.o_bias});
}

}  // namespace ashlar::models
