// The one description of an encoder: embedding, layers of attention and MLP that see the whole
// text, norms. Parameters are named as a decoder's: "embed.weight", "layers.3.attn.q.weight",
// beside "token_types.weight" and "embed_norm.weight".
#pragma once

#include "ashlar/graph/builder.h"
#include "ashlar/models/encoder_config.h"

namespace ashlar::models {

struct EncoderOptions {
  DType weights = DType::kF32;      // of matrices; norms and biases are always f32
  DType activations = DType::kF32;  // of the residual stream
};

// Inputs: tokens i32 [tokens]; positions i32 [tokens], each token's place in its text, plus
// first_position where positions are learned; token_types i32 [tokens] where there are such;
// row_start i32 [seqs+1]: text s owns rows row_start[s] .. row_start[s+1]. Output "hidden" f32
// [tokens, width], the last layer's.
graph::Graph build_encoding(const EncoderConfig& config, const EncoderOptions& options = {});

}  // namespace ashlar::models
