#include "ashlar/models/decoder_mlp.h"

#include "ashlar/graph/ops/elementwise.h"

namespace ashlar::models {

using graph::ValueId;

ValueId mlp_inner(const DecoderParts& parts, ValueId x, int64_t ffn) {
  graph::Builder& b = parts.builder();
  const DecoderConfig& config = parts.config();
  const auto inner_of = [&](const char* name) {
    return parts.project(x, {name, ffn, config.width, "ffn", "embed", config.mlp_bias});
  };
  if (!config.gated) return activation(b, inner_of("up"), config.activation, "act");
  const ValueId gate = inner_of("gate"), up = inner_of("up");
  return gated(b, gate, up, config.activation, "act");
}

ValueId mlp(const DecoderParts& parts, ValueId x, ValueId residual) {
  const auto scope = parts.builder().scope("mlp");
  const DecoderConfig& config = parts.config();
  return parts.project_onto(residual, mlp_inner(parts, x, config.ffn),
                            {"down", config.width, config.ffn, "embed", "ffn", config.mlp_bias});
}

}  // namespace ashlar::models
