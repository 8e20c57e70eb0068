// Whole graphs of a decoder, with the inputs their callers bind:
//   tokens, positions i32 [tokens]; row_start i32 [seqs+1]: sequence s owns rows row_start[s] ..
//   row_start[s+1]; output_rows i32 [outputs]: rows whose logits are wanted; token_types i32
//   [tokens] where the model has such.
#pragma once

#include "ashlar/models/decoder.h"

namespace ashlar::models {

// Adds targets i32 [tokens] (the next tokens, or an encoder's masked ones; negative: not counted)
// and loss_scale f32 [1] (1 / counted tokens of the global batch). Output "loss" f64 [1]. A
// balanced mixture of experts adds the input aux_scale f32 [1] (1 / microbatches of a step) and the
// output "aux_loss" f64 [1], the balance of its load. Master weights are f32; passes::precision
// lowers what is computed. Throws Error for what training has and we do not (OPT's layerdrop,
// Mixtral's noise of the router).
graph::Graph build_training(const DecoderConfig& config, const DecoderOptions& options = {});
// What is differentiated: "loss", and "aux_loss" where it is.
std::vector<graph::ValueId> training_losses(const graph::Graph& graph);

// The loss alone, without what is for training only, for validation and evaluation.
graph::Graph build_evaluation(const DecoderConfig& config, const DecoderOptions& options = {});

// Adds output_rows; each sequence's keys are its own rows. Output "logits" f32 [outputs, vocab].
graph::Graph build_logits(const DecoderConfig& config, const DecoderOptions& options = {});

// Each sequence's keys are its own rows. Output "hidden" f32 [tokens, width]: the residual stream
// behind the final norm, which is what embeddings are made of.
graph::Graph build_hidden(const DecoderConfig& config, const DecoderOptions& options = {});

struct ServingSpec {
  int64_t blocks = 0;       // of each layer's pools
  int64_t table_width = 0;  // blocks of the longest sequence
  DType pool = DType::kF32;
};

// Adds output_rows, context i32 [seqs] (keys of each sequence, its new rows included), block_table
// i32 [seqs, table_width] and slots i32 [tokens] (where each new key goes: block * 16 + offset).
// Output "logits" f32 [outputs, vocab].
graph::Graph build_serving(const DecoderConfig& config, const ServingSpec& spec,
                           const DecoderOptions& options = {});

}  // namespace ashlar::models
