#include "tests/train/small_decoders.h"

namespace ashlar::train::testing {

models::DecoderConfig small_llama() {
  models::DecoderConfig config;
  config.family = "llama";
  config.initializer_range = 0.3;
  config.resize({.vocab = 37,
                 .width = 24,
                 .layers = 3,
                 .heads = 4,
                 .max_positions = 32,
                 .kv_heads = 2,
                 .ffn = 20});
  config.rope.rotary_dim = config.head_dim;
  return config;
}

models::DecoderConfig small_mixtral() {
  models::DecoderConfig config = small_llama();
  config.family = "mixtral";
  config.mixture = {.experts = 4, .per_token = 2, .balance = true, .coefficient = 0.1};
  config.layers = 2;
  config.ffn = 12;
  return config;
}

models::DecoderConfig small_gpt2() {
  models::DecoderConfig config;
  config.family = "gpt2";
  config.initializer_range = 0.3;
  config.norm = graph::NormKind::kLayer;
  config.activation = kernels::Activation::kGeluTanh;
  config.gated = false;
  config.qkv_bias = config.o_bias = config.mlp_bias = true;
  config.tied_head = true;
  config.positions = models::Positions::kLearned;
  config.embedding_dropout = config.residual_dropout = config.attention_dropout = 0.1;
  config.resize(
      {.vocab = 37, .width = 24, .layers = 3, .heads = 4, .max_positions = 32, .ffn = 28});
  return config;
}

std::vector<models::DecoderConfig> small_models(int ranks_of_heads) {
  std::vector<models::DecoderConfig> models = {small_llama(), small_gpt2()};
  if (ranks_of_heads > 2) models[0].kv_heads = models[0].heads;
  return models;
}

}  // namespace ashlar::train::testing
