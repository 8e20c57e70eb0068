// GPT-J (Wang and Komatsuzaki 2021): attention and a plain MLP side by side behind one layer norm;
// neighbouring channels of a share of each head rotate; biases of MLP and head.
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
  config.activation = kernels::Activation::kGeluTanh;
  config.gated = false;
  config.mlp_input = MlpInput::kLayerOneNorm;
  config.mlp_bias = config.head_bias = true;
  config.rope.interleaved = true;
  return config;
}

DecoderConfig parse(HfConfig& keys) {
  keys.alias("n_embd", "hidden_size");
  keys.alias("n_layer", "num_hidden_layers");
  keys.alias("n_head", "num_attention_heads");
  keys.alias("n_positions", "max_position_embeddings");
  keys.only("scale_attn_weights", true);  // of old files, as are the summary's
  keys.ignore(
      "n_ctx rotary summary_type summary_use_proj summary_activation summary_proj_to_labels "
      "summary_first_dropout");
  DecoderConfig config = blank();
  DecoderSizes sizes;
  sizes.vocab = keys.size("vocab_size");
  sizes.width = keys.size("n_embd");
  sizes.layers = keys.size("n_layer", {}, kMaxLayers);
  sizes.heads = keys.size("n_head");
  ASHLAR_CHECK(sizes.width % sizes.heads == 0, "{}: n_embd {} is not a multiple of n_head {}",
               keys.where(), sizes.width, sizes.heads);
  sizes.ffn = keys.size_or("n_inner", 4 * sizes.width);
  sizes.max_positions = keys.size("n_positions", 2048);
  config.resize(sizes);
  config.rope.rotary_dim = keys.size("rotary_dim", 64);
  config.norm_eps = keys.number("layer_norm_epsilon", 1e-5);
  config.activation = read_activation(keys, "activation_function", "gelu_new");
  config.tied_head = keys.flag("tie_word_embeddings", false);
  config.embedding_dropout = keys.number_or("embd_pdrop", 0);
  config.residual_dropout = keys.number_or("resid_pdrop", 0);
  config.attention_dropout = keys.number_or("attn_pdrop", 0);
  read_shared_keys(keys, config);
  return config;
}

std::string write(const DecoderConfig& config) {
  return nlohmann::ordered_json{
      {"vocab_size", config.vocab},
      {"n_embd", config.width},
      {"n_layer", config.layers},
      {"n_head", config.heads},
      {"n_inner", config.ffn},
      {"n_positions", config.max_positions},
      {"rotary_dim", config.rope.rotary_dim},
      {"layer_norm_epsilon", config.norm_eps},
      {"activation_function", activation_name(config.activation)},
      {"embd_pdrop", config.embedding_dropout},
      {"resid_pdrop", config.residual_dropout},
      {"attn_pdrop", config.attention_dropout},
  }
      .dump();
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  std::vector<WeightRule> rules = {{"transformer.wte.weight", {"embed.weight"}}};
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string theirs = fmt::format("transformer.h.{}.", layer);
    const std::string ours = fmt::format("layers.{}.", layer);
    add_rules(theirs + "ln_1", ours + "attn_norm", true, rules);
    add_rules(theirs + "attn.q_proj", ours + "attn.q", false, rules);
    add_rules(theirs + "attn.k_proj", ours + "attn.k", false, rules);
    add_rules(theirs + "attn.v_proj", ours + "attn.v", false, rules);
    add_rules(theirs + "attn.out_proj", ours + "attn.o", false, rules);
    add_rules(theirs + "mlp.fc_in", ours + "mlp.up", true, rules);
    add_rules(theirs + "mlp.fc_out", ours + "mlp.down", true, rules);
  }
  add_rules("transformer.ln_f", "final_norm", true, rules);
  if (!config.tied_head) rules.push_back({"lm_head.weight", {"head.weight"}});
  rules.push_back({"lm_head.bias", {"head.bias"}});
  return rules;
}

}  // namespace

Family gptj_family() {
  return {.model_type = "gptj",
          .architecture = "GPTJForCausalLM",
          .prefix = "transformer.",
          .buffers = {".attn.bias", ".attn.masked_bias", ".attn.embed_positions"},
          .blank = blank,
          .parse = parse,
          .write = write,
          .weights = weights};
}

}  // namespace ashlar::models
