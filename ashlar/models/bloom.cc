// BLOOM (Scao et al. 2022): ALiBi, a norm behind the embedding, layer norm, a plain GELU MLP,
// biases. Checkpoints hold q, k and v head by head in one tensor.
#include "ashlar/base/error.h"
#include "ashlar/models/families.h"
#include "ashlar/models/hf_keys.h"
#include "ashlar/models/llama.h"
#include "ashlar/models/max_layers.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace ashlar::models {
namespace {

DecoderConfig blank() {
  DecoderConfig config;
  config.norm = graph::NormKind::kLayer;
  config.norm_eps = 1e-5;
  config.embedding_norm = true;
  config.activation = kernels::Activation::kGeluTanh;
  config.gated = false;
  config.qkv_bias = config.o_bias = config.mlp_bias = true;
  config.tied_head = true;
  config.positions = Positions::kAlibi;
  return config;
}

DecoderConfig parse(HfConfig& keys) {
  keys.alias("hidden_size", "n_embed");
  keys.alias("n_layer", "num_hidden_layers");
  keys.alias("n_head", "num_attention_heads");
  ASHLAR_CHECK(
      keys.number_or("pretraining_tp", 1) <= 1 || !keys.flag("slow_but_exact", false),
      "{}: slow_but_exact = true with pretraining_tp above 1 is not supported: transformers "
      "then leaves out the biases of the dense and dense_4h_to_h projections; set "
      "slow_but_exact to false to keep them",
      keys.where());
  // They choose an order of sums, and how other software pads and masks.
  keys.ignore(
      "slow_but_exact skip_bias_add skip_bias_add_qkv unk_token_id "
      "attention_softmax_in_fp32 bias_dropout_fusion masked_softmax_fusion offset_alibi");
  DecoderConfig config = blank();
  DecoderSizes sizes;
  sizes.vocab = keys.size("vocab_size");
  sizes.width = keys.size("hidden_size");
  sizes.layers = keys.size("n_layer", {}, kMaxLayers);
  sizes.heads = keys.size("n_head");
  ASHLAR_CHECK(sizes.width % sizes.heads == 0, "{}: hidden_size {} is not a multiple of n_head {}",
               keys.where(), sizes.width, sizes.heads);
  sizes.ffn = keys.size_or("n_inner", 4 * sizes.width);
  ASHLAR_CHECK(sizes.ffn == 4 * sizes.width, "{}: n_inner = {} is not supported (only {})",
               keys.where(), sizes.ffn, 4 * sizes.width);
  // ALiBi has no last position; the file says with what context the model was trained.
  sizes.max_positions = keys.size("seq_length", 2048);
  config.resize(sizes);
  config.norm_eps = keys.number("layer_norm_epsilon", 1e-5);
  config.residual_from_norm = keys.flag("apply_residual_connection_post_layernorm", false);
  config.tied_head = keys.flag("tie_word_embeddings", true);
  config.residual_dropout = keys.number_or("hidden_dropout", 0);
  config.attention_dropout = keys.number_or("attention_dropout", 0);
  read_shared_keys(keys, config);
  return config;
}

std::string write(const DecoderConfig& config) {
  return nlohmann::ordered_json{
      {"vocab_size", config.vocab},
      {"hidden_size", config.width},
      {"n_layer", config.layers},
      {"n_head", config.heads},
      {"seq_length", config.max_positions},
      {"layer_norm_epsilon", config.norm_eps},
      {"apply_residual_connection_post_layernorm", config.residual_from_norm},
      {"hidden_dropout", config.residual_dropout},
      {"attention_dropout", config.attention_dropout},
      {"pretraining_tp", 1},
      {"slow_but_exact", false},
  }
      .dump();
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  std::vector<WeightRule> rules = {{"transformer.word_embeddings.weight", {"embed.weight"}}};
  add_rules("transformer.word_embeddings_layernorm", "embed_norm", true, rules);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string theirs = fmt::format("transformer.h.{}.", layer);
    const std::string ours = fmt::format("layers.{}.", layer);
    add_rules(theirs + "input_layernorm", ours + "attn_norm", true, rules);
    add_qkv_rules(theirs + "self_attention.query_key_value", ours, true, config.heads, rules);
    add_rules(theirs + "self_attention.dense", ours + "attn.o", true, rules);
    add_rules(theirs + "post_attention_layernorm", ours + "mlp_norm", true, rules);
    add_rules(theirs + "mlp.dense_h_to_4h", ours + "mlp.up", true, rules);
    add_rules(theirs + "mlp.dense_4h_to_h", ours + "mlp.down", true, rules);
  }
  add_rules("transformer.ln_f", "final_norm", true, rules);
  if (!config.tied_head) rules.push_back({"lm_head.weight", {"head.weight"}});
  return rules;
}

}  // namespace

Family bloom_family() {
  return {.model_type = "bloom",
          .architecture = "BloomForCausalLM",
          .prefix = "transformer.",
          .buffers = {},
          .blank = blank,
          .parse = parse,
          .write = write,
          .weights = weights};
}

}  // namespace ashlar::models
