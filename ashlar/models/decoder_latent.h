// Latent attention of one layer (MLA: DeepSeek-V2, Liu et al. 2024): queries, and for keys and
// values a latent of few channels beside a key that all heads share, which alone carries the
// position. Built below the scope "attn": "kv_a.weight" [rank, width], "kv_a_norm.weight",
// "k_rope.weight" [shared, width], "kv_b.weight" [H*(own+value), rank], "o.weight" [width,
// H*value]; "q.weight" [H*(own+shared), width], or "q_a.weight" [query_rank, width],
// "q_a_norm.weight" and "q_b.weight".
#pragma once

#include "ashlar/models/decoder_attention.h"

namespace ashlar::models {

graph::ValueId latent_attention(const DecoderParts& parts, const PositionInputs& at,
                                KeySource& keys, int64_t layer, graph::ValueId x,
                                graph::ValueId residual);

}  // namespace ashlar::models
