// What an encoder is, whatever family it comes from: a transformer in which every token sees those
// before and behind it (BERT; Devlin et al. 2019). Families parse it from their config.json
// (encoder_family.h); encoder.h builds the graph from it and asks nothing else.
#pragma once

#include "ashlar/models/decoder_config.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ashlar::models {

struct EncoderConfig {
  std::string family;  // model_type of config.json

  int64_t vocab = 0, width = 0, layers = 0;
  int64_t heads = 0, head_dim = 0;
  int64_t ffn = 0;
  int64_t max_positions = 0;  // tokens of the longest text
  int64_t token_types = 0;    // segments that have an embedding of their own; 0: none have

  double norm_eps = 1e-12;
  bool norm_bias = true;
  // Where the norms stand: behind each sum (BERT), or before attention and MLP, with one more at
  // the end and none before the first attention, whose input the embedding's norm gives
  // (ModernBERT).
  bool norm_first = false;
  kernels::Activation activation = kernels::Activation::kGeluErf;
  bool gated = false;  // down(f(gate x) * up x) instead of down(f(up x))
  bool qkv_bias = true, o_bias = true, mlp_bias = true;

  Positions positions = Positions::kLearned;
  int64_t first_position = 0;  // learned: the row of a text's first token (RoBERTa's padding + 1)
  RopeConfig rope;             // rotary

  // Layers whose tokens see only those less than `window` away, with frequencies of their own.
  std::vector<bool> local;  // by layer; empty: none
  int64_t window = 0;
  RopeConfig local_rope;

  double initializer_range = 0.02;
  DType dtype = DType::kF32;  // of the weights as stored

  bool is_local(int64_t layer) const { return !local.empty() && local[static_cast<size_t>(layer)]; }
  // Throws Error naming `where` for sizes that do not go together.
  void validate(const std::string& where) const;
  bool operator==(const EncoderConfig&) const = default;
};

}  // namespace ashlar::models
