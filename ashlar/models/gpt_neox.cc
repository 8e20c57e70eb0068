// GPT-NeoX (Black et al. 2022): layer norm, a plain MLP behind attention or beside it, each with
// its norm; a share of each head rotates. Checkpoints hold q, k and v head by head in one tensor.
#include "ashlar/base/error.h"
#include "ashlar/models/families.h"
#include "ashlar/models/hf_keys.h"
#include "ashlar/models/llama.h"
#include "ashlar/models/max_layers.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace ashlar::models {
namespace {

constexpr RopeDefaults kRope{.partial = 0.25};

DecoderConfig blank() {
  DecoderConfig config;
  config.norm = graph::NormKind::kLayer;
  config.norm_eps = 1e-5;
  config.activation = kernels::Activation::kGeluErf;
  config.gated = false;
  config.mlp_input = MlpInput::kLayer;
  config.qkv_bias = config.o_bias = config.mlp_bias = true;
  return config;
}

DecoderConfig parse(HfConfig& keys) {
  // Beside the family's own names transformers passes the usual ones over.
  keys.only("rope_theta", keys.number_or("rotary_emb_base", kRope.theta));
  keys.only("partial_rotary_factor", keys.number_or("rotary_pct", kRope.partial));
  keys.alias("rope_theta", "rotary_emb_base");
  keys.alias("partial_rotary_factor", "rotary_pct");
  keys.ignore("classifier_dropout attention_probs_dropout_prob hidden_dropout_prob");
  DecoderConfig config = blank();
  DecoderSizes sizes;
  sizes.vocab = keys.size("vocab_size");
  sizes.width = keys.size("hidden_size");
  sizes.layers = keys.size("num_hidden_layers", {}, kMaxLayers);
  sizes.heads = keys.size("num_attention_heads");
  ASHLAR_CHECK(sizes.width % sizes.heads == 0,
               "{}: hidden_size {} is not a multiple of num_attention_heads {}", keys.where(),
               sizes.width, sizes.heads);
  sizes.ffn = keys.size("intermediate_size");
  sizes.max_positions = keys.size("max_position_embeddings", 2048);
  config.resize(sizes);
  config.rope = read_rope(keys, config, kRope);
  config.norm_eps = keys.number("layer_norm_eps", 1e-5);
  config.activation = read_activation(keys, "hidden_act", "gelu");
  config.tied_head = keys.flag("tie_word_embeddings", false);
  config.qkv_bias = config.o_bias = keys.flag("attention_bias", true);
  const bool parallel = keys.flag("use_parallel_residual", true);
  config.mlp_input = parallel ? MlpInput::kLayer : MlpInput::kAttention;
  config.embedding_dropout = config.residual_dropout = keys.number_or("hidden_dropout", 0);
  config.attention_dropout = keys.number_or("attention_dropout", 0);
  read_shared_keys(keys, config);
  return config;
}

std::string write(const DecoderConfig& config) {
  const double partial =
      static_cast<double>(config.rope.rotary_dim) / static_cast<double>(config.head_dim);
  nlohmann::ordered_json keys{
      {"vocab_size", config.vocab},
      {"hidden_size", config.width},
      {"num_hidden_layers", config.layers},
      {"num_attention_heads", config.heads},
      {"intermediate_size", config.ffn},
      {"max_position_embeddings", config.max_positions},
      {"rotary_pct", partial},
      {"rotary_emb_base", config.rope.theta},
      {"layer_norm_eps", config.norm_eps},
      {"hidden_act", activation_name(config.activation)},
      {"attention_bias", config.qkv_bias},
      {"use_parallel_residual", config.mlp_input == MlpInput::kLayer},
      {"hidden_dropout", config.residual_dropout},
      {"attention_dropout", config.attention_dropout},
  };
  keys.update(nlohmann::ordered_json::parse(write_rope(config.rope, config.head_dim, kRope)));
  return keys.dump();
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  std::vector<WeightRule> rules = {{"gpt_neox.embed_in.weight", {"embed.weight"}}};
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string theirs = fmt::format("gpt_neox.layers.{}.", layer);
    const std::string ours = fmt::format("layers.{}.", layer);
    add_rules(theirs + "input_layernorm", ours + "attn_norm", true, rules);
    add_rules(theirs + "post_attention_layernorm", ours + "mlp_norm", true, rules);
    add_qkv_rules(theirs + "attention.query_key_value", ours, config.qkv_bias, config.heads, rules);
    add_rules(theirs + "attention.dense", ours + "attn.o", config.o_bias, rules);
    add_rules(theirs + "mlp.dense_h_to_4h", ours + "mlp.up", true, rules);
    add_rules(theirs + "mlp.dense_4h_to_h", ours + "mlp.down", true, rules);
  }
  add_rules("gpt_neox.final_layer_norm", "final_norm", true, rules);
  if (!config.tied_head) rules.push_back({"embed_out.weight", {"head.weight"}});
  return rules;
}

}  // namespace

Family gpt_neox_family() {
  return {.model_type = "gpt_neox",
          .architecture = "GPTNeoXForCausalLM",
          .prefix = "gpt_neox.",
          .buffers = {".attention.bias", ".attention.masked_bias", "rotary_emb.inv_freq"},
          .blank = blank,
          .parse = parse,
          .write = write,
          .weights = weights};
}

}  // namespace ashlar::models
