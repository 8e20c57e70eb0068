// Falcon (Almazrouei et al. 2023): layer norm and a plain MLP, behind attention or beside it with
// one norm or two; rotary positions or ALiBi; one key-value head, few or as many as heads, and
// checkpoints that hold q, k and v in one tensor, key-value head by key-value head.
#include "ashlar/base/error.h"
#include "ashlar/models/families.h"
#include "ashlar/models/hf_keys.h"
#include "ashlar/models/llama.h"
#include "ashlar/models/max_layers.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <cmath>

namespace ashlar::models {
namespace {

constexpr RopeDefaults kRope{.any_partial = false};

DecoderConfig blank() {
  DecoderConfig config;
  config.norm = graph::NormKind::kLayer;
  config.norm_eps = 1e-5;
  config.activation = kernels::Activation::kGeluErf;
  config.gated = false;
  config.mlp_input = MlpInput::kLayerOneNorm;
  config.tied_head = true;
  return config;
}

// The second generation says how many norms it has; of the first, those beside attention have one.
MlpInput read_mlp_input(HfConfig& keys, bool second) {
  const bool beside = keys.flag("parallel_attn", true);
  const int64_t norms = keys.size_or("num_ln_in_parallel_attn", second ? 2 : 1);
  ASHLAR_CHECK(beside || !second,
               "{}: parallel_attn = false is not supported with new_decoder_architecture",
               keys.where());
  ASHLAR_CHECK(norms == 1 || (second && norms == 2),
               "{}: num_ln_in_parallel_attn = {} is not supported (only 1{})", keys.where(), norms,
               second ? " or 2" : "");
  if (!beside) return MlpInput::kAttention;
  return norms == 2 ? MlpInput::kLayer : MlpInput::kLayerOneNorm;
}

int64_t read_kv_heads(HfConfig& keys, bool second, int64_t heads) {
  const bool one = keys.flag("multi_query", true);
  keys.alias("num_kv_heads", "n_head_kv");
  const int64_t kv_heads = keys.size_or("num_kv_heads", heads);
  if (second) return kv_heads;
  return one ? 1 : heads;
}

DecoderConfig parse(HfConfig& keys) {
  keys.alias("hidden_size", "n_embed");
  keys.alias("num_hidden_layers", "n_layer");
  keys.alias("num_attention_heads", "n_head");
  keys.only("apply_residual_connection_post_layernorm", false);
  const bool second = keys.flag("new_decoder_architecture", false);
  DecoderConfig config = blank();
  DecoderSizes sizes;
  sizes.vocab = keys.size("vocab_size");
  sizes.width = keys.size("hidden_size");
  sizes.layers = keys.size("num_hidden_layers", {}, kMaxLayers);
  sizes.heads = keys.size("num_attention_heads");
  ASHLAR_CHECK(sizes.width % sizes.heads == 0,
               "{}: hidden_size {} is not a multiple of num_attention_heads {}", keys.where(),
               sizes.width, sizes.heads);
  sizes.kv_heads = read_kv_heads(keys, second, sizes.heads);
  sizes.ffn = keys.size_or("ffn_hidden_size", 4 * sizes.width);
  // transformers passes it over; a file where it says something else would be a riddle.
  keys.only("ff_factor", static_cast<double>(sizes.ffn) / static_cast<double>(sizes.width));
  sizes.max_positions = keys.size("max_position_embeddings", 2048);
  config.resize(sizes);
  config.mlp_input = read_mlp_input(keys, second);
  config.rope = read_rope(keys, config, kRope);
  if (keys.flag("alibi", false)) {
    config.positions = Positions::kAlibi;
    config.alibi_in_bf16 = true;  // in a model of any dtype
    // Added before the scores are scaled.
    config.alibi_scale = 1 / std::sqrt(static_cast<double>(config.head_dim));
  }
  config.qkv_bias = config.o_bias = config.mlp_bias = keys.flag("bias", false);
  config.norm_eps = keys.number("layer_norm_epsilon", 1e-5);
  config.activation = read_activation(keys, "activation", "gelu");
  config.tied_head = keys.flag("tie_word_embeddings", true);
  config.residual_dropout = keys.number_or("hidden_dropout", 0);
  config.attention_dropout = keys.number_or("attention_dropout", 0);
  read_shared_keys(keys, config);
  return config;
}

// Files of the first generation have one key-value head or as many as heads.
bool is_second(const DecoderConfig& config) {
  return config.mlp_input == MlpInput::kLayer ||
         (config.kv_heads != 1 && config.kv_heads != config.heads);
}

std::string write(const DecoderConfig& config) {
  const bool second = is_second(config);
  nlohmann::ordered_json keys{
      {"vocab_size", config.vocab},
      {"hidden_size", config.width},
      {"num_hidden_layers", config.layers},
      {"num_attention_heads", config.heads},
      {"num_kv_heads", config.kv_heads},
      {"ffn_hidden_size", config.ffn},
      {"max_position_embeddings", config.max_positions},
      {"new_decoder_architecture", second},
      {"multi_query", config.kv_heads == 1},
      {"parallel_attn", config.mlp_input != MlpInput::kAttention},
      {"alibi", config.positions == Positions::kAlibi},
      {"bias", config.mlp_bias},
      {"layer_norm_epsilon", config.norm_eps},
      {"activation", activation_name(config.activation)},
      {"hidden_dropout", config.residual_dropout},
      {"attention_dropout", config.attention_dropout},
  };
  if (second) {
    keys["num_ln_in_parallel_attn"] = config.mlp_input == MlpInput::kLayer ? 2 : 1;
  }
  keys.update(nlohmann::ordered_json::parse(write_rope(config.rope, config.head_dim, kRope)));
  return keys.dump();
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  std::vector<WeightRule> rules = {{"transformer.word_embeddings.weight", {"embed.weight"}}};
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string theirs = fmt::format("transformer.h.{}.", layer);
    const std::string ours = fmt::format("layers.{}.", layer);
    const bool bias = config.mlp_bias, two = config.mlp_input == MlpInput::kLayer;
    add_rules(theirs + (two ? "ln_attn" : "input_layernorm"), ours + "attn_norm", true, rules);
    if (two) add_rules(theirs + "ln_mlp", ours + "mlp_norm", true, rules);
    if (config.mlp_input == MlpInput::kAttention) {
      add_rules(theirs + "post_attention_layernorm", ours + "mlp_norm", true, rules);
    }
    add_qkv_rules(theirs + "self_attention.query_key_value", ours, bias, config.kv_heads, rules);
    add_rules(theirs + "self_attention.dense", ours + "attn.o", bias, rules);
    add_rules(theirs + "mlp.dense_h_to_4h", ours + "mlp.up", bias, rules);
    add_rules(theirs + "mlp.dense_4h_to_h", ours + "mlp.down", bias, rules);
  }
  add_rules("transformer.ln_f", "final_norm", true, rules);
  if (!config.tied_head) rules.push_back({"lm_head.weight", {"head.weight"}});
  return rules;
}

}  // namespace

Family falcon_family() {
  return {.model_type = "falcon",
          .architecture = "FalconForCausalLM",
          .prefix = "transformer.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank,
          .parse = parse,
          .write = write,
          .weights = weights};
}

}  // namespace ashlar::models
