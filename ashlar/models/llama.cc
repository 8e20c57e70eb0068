// LLaMA (Touvron et al. 2023; Llama 3: Grattafiori et al. 2024): rotary positions, RMS norm before
// each block, grouped-query attention, SwiGLU.
#include "ashlar/models/llama.h"

#include "ashlar/base/error.h"
#include "ashlar/models/families.h"
#include "ashlar/models/hf_keys.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace ashlar::models {
namespace {

DecoderConfig blank() { return {}; }  // the defaults are a LLaMA's

nlohmann::ordered_json write_rope_scaling(const RopeConfig& rope) {
  switch (rope.scaling) {
    case RopeScaling::kDefault:
      return nullptr;
    case RopeScaling::kLinear:
      return {{"rope_type", "linear"}, {"factor", rope.factor}};
    case RopeScaling::kLlama3:
      return {{"rope_type", "llama3"},
              {"factor", rope.factor},
              {"low_freq_factor", rope.low_freq_factor},
              {"high_freq_factor", rope.high_freq_factor},
              {"original_max_position_embeddings", rope.original_max_positions}};
  }
  return nullptr;
}

}  // namespace

void parse_llama(HfConfig& keys, const LlamaDefaults& defaults, DecoderConfig& config) {
  DecoderSizes sizes;
  sizes.vocab = keys.size("vocab_size");
  sizes.width = keys.size("hidden_size");
  sizes.layers = keys.size("num_hidden_layers");
  sizes.heads = keys.size("num_attention_heads");
  sizes.kv_heads =
      keys.size("num_key_value_heads", defaults.kv_heads > 0 ? defaults.kv_heads : sizes.heads);
  ASHLAR_CHECK(keys.has("head_dim") || sizes.width % sizes.heads == 0,
               "{}: hidden_size {} is not a multiple of num_attention_heads {}, and there is no "
               "head_dim",
               keys.where(), sizes.width, sizes.heads);
  sizes.head_dim = keys.size("head_dim", sizes.width / sizes.heads);
  sizes.ffn = keys.size("intermediate_size");
  sizes.max_positions = keys.size("max_position_embeddings", defaults.max_positions);
  config.resize(sizes);
  config.norm_eps = keys.number("rms_norm_eps", defaults.norm_eps);
  config.activation = read_activation(keys, "hidden_act", "silu");
  config.tied_head = keys.flag("tie_word_embeddings", false);
  config.rope = read_rope(keys, config.head_dim, defaults.rope_theta);
  config.attention_dropout = keys.number("attention_dropout", 0);
  read_shared_keys(keys, config);
}

std::string write_llama(const DecoderConfig& config) {
  return nlohmann::ordered_json{
      {"vocab_size", config.vocab},
      {"hidden_size", config.width},
      {"num_hidden_layers", config.layers},
      {"num_attention_heads", config.heads},
      {"num_key_value_heads", config.kv_heads},
      {"head_dim", config.head_dim},
      {"intermediate_size", config.ffn},
      {"max_position_embeddings", config.max_positions},
      {"rms_norm_eps", config.norm_eps},
      {"hidden_act", activation_name(config.activation)},
      {"rope_theta", config.rope.theta},
      {"rope_scaling", write_rope_scaling(config.rope)},
      {"attention_dropout", config.attention_dropout},
  }
      .dump();
}

std::vector<WeightRule> llama_weights(const DecoderConfig& config, LayerRules mlp) {
  std::vector<WeightRule> rules = {{"model.embed_tokens.weight", {"embed.weight"}}};
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string theirs = fmt::format("model.layers.{}.", layer);
    const std::string ours = fmt::format("layers.{}.", layer);
    const auto add = [&](const std::string& name, const std::string& parameter, bool bias) {
      rules.push_back({theirs + name + ".weight", {ours + parameter + ".weight"}});
      if (bias) rules.push_back({theirs + name + ".bias", {ours + parameter + ".bias"}});
    };
    add("input_layernorm", "attn_norm", false);
    add("self_attn.q_proj", "attn.q", config.qkv_bias);
    add("self_attn.k_proj", "attn.k", config.qkv_bias);
    add("self_attn.v_proj", "attn.v", config.qkv_bias);
    add("self_attn.o_proj", "attn.o", config.o_bias);
    add("post_attention_layernorm", "mlp_norm", false);
    mlp(config, theirs, ours, rules);
  }
  rules.push_back({"model.norm.weight", {"final_norm.weight"}});
  if (!config.tied_head) rules.push_back({"lm_head.weight", {"head.weight"}});
  return rules;
}

namespace {

DecoderConfig parse(HfConfig& keys) {
  keys.only("pretraining_tp", 1.0);
  keys.only("partial_rotary_factor", 1.0);
  DecoderConfig config = blank();
  parse_llama(keys, {}, config);
  config.qkv_bias = config.o_bias = keys.flag("attention_bias", false);
  config.mlp_bias = keys.flag("mlp_bias", false);
  return config;
}

std::string write(const DecoderConfig& config) {
  auto keys = nlohmann::ordered_json::parse(write_llama(config));
  keys["attention_bias"] = config.qkv_bias;
  keys["mlp_bias"] = config.mlp_bias;
  keys["pretraining_tp"] = 1;
  return keys.dump();
}

void mlp_rules(const DecoderConfig& config, const std::string& theirs, const std::string& ours,
               std::vector<WeightRule>& rules) {
  for (const std::string name : {"gate", "up", "down"}) {
    const std::string tensor = theirs + "mlp." + name + "_proj", parameter = ours + "mlp." + name;
    rules.push_back({tensor + ".weight", {parameter + ".weight"}});
    if (config.mlp_bias) rules.push_back({tensor + ".bias", {parameter + ".bias"}});
  }
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  return llama_weights(config, mlp_rules);
}

}  // namespace

Family llama_family() {
  return {.model_type = "llama",
          .architecture = "LlamaForCausalLM",
          .prefix = "model.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank,
          .parse = parse,
          .write = write,
          .weights = weights};
}

}  // namespace ashlar::models
