// GPT-2 (Radford et al. 2019): learned positions, layer norm before each block, biases everywhere,
// a plain GELU MLP, tied head. Its checkpoints hold matrices as [inputs, outputs], q, k and v in
// one.
#include "ashlar/base/error.h"
#include "ashlar/models/families.h"
#include "ashlar/models/hf_keys.h"
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
  config.qkv_bias = config.o_bias = config.mlp_bias = true;
  config.tied_head = true;
  config.positions = Positions::kLearned;
  config.scaled_init = true;
  return config;
}

DecoderConfig parse(HfConfig& keys) {
  keys.alias("n_embd", "hidden_size");
  keys.alias("n_layer", "num_hidden_layers");
  keys.alias("n_head", "num_attention_heads");
  keys.alias("n_positions", "max_position_embeddings");
  keys.only("add_cross_attention", false);
  // Upcasting changes rounding in 16 bits; scores are in f32 here in any case.
  keys.ignore(
      "reorder_and_upcast_attn n_ctx summary_type summary_use_proj summary_activation "
      "summary_proj_to_labels "
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
  sizes.max_positions = keys.size("n_positions");
  config.resize(sizes);
  if (!keys.flag("scale_attn_weights", true)) config.attention_scale = 1;
  config.scale_by_layer = keys.flag("scale_attn_by_inverse_layer_idx", false);
  config.norm_eps = keys.number("layer_norm_epsilon", 1e-5);
  config.activation = read_activation(keys, "activation_function", "gelu_new");
  config.tied_head = keys.flag("tie_word_embeddings", true);
  config.embedding_dropout = keys.number_or("embd_pdrop", 0.1);
  config.residual_dropout = keys.number_or("resid_pdrop", 0.1);
  config.attention_dropout = keys.number_or("attn_pdrop", 0.1);
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
      {"layer_norm_epsilon", config.norm_eps},
      {"activation_function", activation_name(config.activation)},
      {"embd_pdrop", config.embedding_dropout},
      {"resid_pdrop", config.residual_dropout},
      {"attn_pdrop", config.attention_dropout},
      {"scale_attn_weights", config.attention_scale != 1},
      {"scale_attn_by_inverse_layer_idx", config.scale_by_layer},
      {"reorder_and_upcast_attn", false},
  }
      .dump();
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  std::vector<WeightRule> rules = {{"transformer.wte.weight", {"embed.weight"}},
                                   {"transformer.wpe.weight", {"positions.weight"}}};
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string theirs = fmt::format("transformer.h.{}.", layer);
    const std::string ours = fmt::format("layers.{}.", layer);
    // Matrices are transposed; their biases and the norms are vectors.
    const auto add = [&](const std::string& name, const std::vector<std::string>& parameters,
                         bool matrix) {
      for (const std::string part : {".weight", ".bias"}) {
        WeightRule rule{theirs + name + part, {}, matrix && part == ".weight"};
        for (const std::string& parameter : parameters) {
          rule.parameters.push_back(ours + parameter + part);
        }
        rules.push_back(std::move(rule));
      }
    };
    add("ln_1", {"attn_norm"}, false);
    add("attn.c_attn", {"attn.q", "attn.k", "attn.v"}, true);
    add("attn.c_proj", {"attn.o"}, true);
    add("ln_2", {"mlp_norm"}, false);
    add("mlp.c_fc", {"mlp.up"}, true);
    add("mlp.c_proj", {"mlp.down"}, true);
  }
  rules.push_back({"transformer.ln_f.weight", {"final_norm.weight"}});
  rules.push_back({"transformer.ln_f.bias", {"final_norm.bias"}});
  if (!config.tied_head) rules.push_back({"lm_head.weight", {"head.weight"}});
  return rules;
}

}  // namespace

Family gpt2_family() {
  return {.model_type = "gpt2",
          .architecture = "GPT2LMHeadModel",
          .prefix = "transformer.",
          .buffers = {".attn.bias", ".attn.masked_bias"},  // causal masks
          .blank = blank,
          .parse = parse,
          .write = write,
          .weights = weights};
}

}  // namespace ashlar::models
