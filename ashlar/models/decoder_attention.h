// Attention of one layer: queries, keys and values of x, their norms and rotation, the keys'
// source, and the way back to the residual stream. Built below the scope "attn": "q.weight" [H*D,
// width], "k.weight" and "v.weight" [K*D, width], "o.weight" [width, H*D], their biases, "q_norm"
// and "k_norm" where the model has them.
#pragma once

#include "ashlar/models/decoder_parts.h"

namespace ashlar::models {

// What all layers share.
struct PositionInputs {
  graph::ValueId positions;  // i32 [T]
  // Rotary: tables, and i32 [T], the rows of them. The local ones where layers use local_rope.
  graph::ValueId rope_table, rope_rows, local_table, local_rows;
};

graph::ValueId attention(const DecoderParts& parts, const PositionInputs& at, KeySource& keys,
                         int64_t layer, graph::ValueId x, graph::ValueId residual);

}  // namespace ashlar::models
