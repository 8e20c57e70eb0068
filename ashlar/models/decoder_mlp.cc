#include "ashlar/models/decoder_mlp.h"

#include "ashlar/graph/ops/elementwise.h"

namespace ashlar::models {

using graph::ValueId;

ValueId mlp(const DecoderParts& parts, ValueId x, ValueId residual) {
  graph::Builder& b = parts.builder();
  const auto scope = b.scope("mlp");
  const DecoderConfig& config = parts.config();
  const int64_t width = config.width, ffn = config.ffn;
  const bool bias = config.mlp_bias;
  const auto inner_of = [&](const char* name) {
    return parts.project(x, {name, ffn, width, "ffn", "embed", bias});
  };
  ValueId inner;
  if (config.gated) {
    const ValueId gate = inner_of("gate"), up = inner_of("up");
    inner = gated(b, gate, up, config.activation, "act");
  } else {
    inner = activation(b, inner_of("up"), config.activation, "act");
  }
  return parts.project_onto(residual, inner, {"down", width, ffn, "embed", "ffn", bias});
}

}  // namespace ashlar::models
