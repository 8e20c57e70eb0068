#include "ashlar/models/decoder_attention.h"

#include "ashlar/graph/ops/rope.h"
#include "ashlar/tensor/dtype.h"

#include <bit>
#include <cmath>
#include <vector>

namespace ashlar::models {
namespace {

using graph::ValueId;

ValueId rotate(const DecoderParts& parts, const PositionInputs& at, bool local, ValueId x,
               int64_t heads, const std::string& name) {
  const DecoderConfig& config = parts.config();
  if (config.positions != Positions::kRotary) return x;
  const RopeConfig& rope = local ? config.local_rope : config.rope;
  const graph::RopeSpec spec{heads, config.head_dim, rope.rotary_dim, rope.interleaved};
  return graph::rope(parts.builder(), x, local ? at.local_rows : at.rope_rows,
                     local ? at.local_table : at.rope_table, spec, name);
}

// Geometric from 2^(-8/n) on for n heads, a power of two; heads beyond the largest power take every
// other slope of twice as many (Press et al. 2022).
std::vector<float> alibi_slopes(const DecoderConfig& config) {
  const auto heads = static_cast<uint64_t>(config.heads);
  const uint64_t power = std::bit_floor(heads);
  std::vector<float> slopes;
  for (uint64_t head = 0; head < heads; ++head) {
    const bool extra = head >= power;
    const uint64_t among = extra ? 2 * power : power;
    const uint64_t exponent = extra ? 2 * (head - power) + 1 : head + 1;
    const double slope =
        std::exp2(-8.0 * static_cast<double>(exponent) / static_cast<double>(among));
    slopes.push_back(config.alibi_in_bf16 ? to_float(to_bf16(static_cast<float>(slope)))
                                          : static_cast<float>(config.alibi_scale * slope));
  }
  return slopes;
}

graph::AttentionSpec spec_of(const DecoderConfig& config, int64_t layer) {
  graph::AttentionSpec spec{config.heads, config.kv_heads, config.head_dim, {}};
  spec.mask.causal = config.causal;
  spec.mask.window = config.layer(layer).window;
  spec.mask.scale = static_cast<float>(config.score_scale(layer));
  spec.mask.softcap = static_cast<float>(config.attention_softcap);
  spec.dropout = config.attention_dropout;
  if (config.positions == Positions::kAlibi) {
    spec.slopes = alibi_slopes(config);
    if (config.alibi_in_bf16) spec.mask.bf16_bias = static_cast<float>(config.alibi_scale);
  }
  return spec;
}

}  // namespace

ValueId attention(const DecoderParts& parts, const PositionInputs& at, KeySource& keys,
                  int64_t layer, ValueId x, ValueId residual) {
  const auto scope = parts.builder().scope("attn");
  const DecoderConfig& config = parts.config();
  const int64_t width = config.width, q_width = config.heads * config.head_dim;
  const int64_t kv_width = config.kv_heads * config.head_dim;
  const bool bias = config.qkv_bias, local = config.layer(layer).local_rope;
  ValueId q = parts.project(x, {"q", q_width, width, "heads", "embed", bias});
  ValueId k = parts.project(x, {"k", kv_width, width, "kv_heads", "embed", bias});
  const ValueId v = parts.project(x, {"v", kv_width, width, "kv_heads", "embed", bias});
  q = parts.head_norm(q, config.heads, "heads", "q_norm");
  k = parts.head_norm(k, config.kv_heads, "kv_heads", "k_norm");
  q = rotate(parts, at, local, q, config.heads, "q.rope");
  k = rotate(parts, at, local, k, config.kv_heads, "k.rope");
  const ValueId mixed = keys.attend(parts.builder(), q, k, v, spec_of(config, layer));
  return parts.project_onto(residual, mixed,
                            {"o", width, q_width, "embed", "heads", config.o_bias});
}

}  // namespace ashlar::models
