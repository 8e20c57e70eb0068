// The MLP of one layer, and back to the residual stream. Built below the scope "mlp": "up.weight"
// [ffn, width], "gate.weight" the same where gated, "down.weight" [width, ffn], their biases.
#pragma once

#include "ashlar/models/decoder_parts.h"

namespace ashlar::models {

// act(gate x) * up x, or act(up x): [T, ffn], the matrices below the current scope.
graph::ValueId mlp_inner(const DecoderParts& parts, graph::ValueId x, int64_t ffn);

graph::ValueId mlp(const DecoderParts& parts, graph::ValueId x, graph::ValueId residual);

}  // namespace ashlar::models
