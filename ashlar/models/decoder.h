// The one description of a decoder-only transformer: embedding, layers of attention and MLP over a
// residual stream, final norm. Training, evaluation and serving build it with another KeySource.
// Parameters are named by path: "embed.weight", "layers.3.attn.q.weight", "head.weight".
#pragma once

#include "ashlar/models/decoder_config.h"
#include "ashlar/models/key_source.h"

namespace ashlar::models {

struct DecoderOptions {
  DType weights = DType::kF32;      // of matrices; norms and biases are always f32
  DType activations = DType::kF32;  // of the residual stream and all else up to the logits
  // Rows of the rotary table, for callers whose contexts are shorter than the model allows; 0: as
  // many as the model has positions. Graphs that share a VariableStore must agree on it.
  int64_t max_positions = 0;
};

struct DecoderInputs {
  graph::ValueId tokens;            // i32 [T]
  graph::ValueId positions;         // i32 [T], each token's place in its sequence
  graph::ValueId token_types = {};  // i32 [T], of models that have such
};

struct DecoderStates {
  graph::ValueId hidden;       // the residual stream after the final norm, [T, width]
  graph::ValueId expert_load;  // f64 [2, experts], over all layers; invalid without balance
};
DecoderStates hidden_states(graph::Builder& b, const DecoderConfig& config,
                            const DecoderOptions& options, const DecoderInputs& inputs,
                            KeySource& keys);

// What the head reads of hidden states: config.head_transform of them, or themselves.
graph::ValueId head_input(graph::Builder& b, const DecoderConfig& config,
                          const DecoderOptions& options, graph::ValueId hidden);
// [vocab, width]: a matrix of its own, or the embedding where tied.
graph::ValueId head_weight(graph::Builder& b, const DecoderConfig& config,
                           const DecoderOptions& options);
// [vocab]; invalid where the head has none.
graph::ValueId head_bias(graph::Builder& b, const DecoderConfig& config);

}  // namespace ashlar::models
