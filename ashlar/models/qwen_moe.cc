// Qwen1.5-MoE and Qwen2 (Yang et al. 2024), and Qwen3 (2025), as mixtures of experts: Qwen's dense
// models with many small experts in most layers; the older ones have an expert that all tokens
// share, behind a gate of its own.
#include "ashlar/models/families.h"
#include "ashlar/models/hf_keys.h"
#include "ashlar/models/llama.h"
#include "ashlar/models/mixture_rules.h"

#include <nlohmann/json.hpp>

#include <algorithm>

namespace ashlar::models {
namespace {

using nlohmann::ordered_json;

constexpr LlamaForm kQwen2{.kv_heads = 16, .max_positions = 32768, .mlp = no_mlp_rules};
constexpr LlamaForm kQwen3{.kv_heads = 4, .max_positions = 32768, .mlp = no_mlp_rules};

// Layers without experts: all but each decoder_sparse_step-th, and those of mlp_only_layers.
void read_dense_layers(HfConfig& keys, DecoderConfig& config) {
  const int64_t step = keys.size("decoder_sparse_step", 1);
  std::vector<double> plain;
  if (keys.has("mlp_only_layers")) plain = keys.numbers("mlp_only_layers");
  std::vector<LayerConfig> layers;
  for (int64_t i = 0; i < config.layers; ++i) {
    layers.push_back(config.layer(i));
    layers.back().dense = (i + 1) % step != 0 || std::ranges::count(plain, double(i)) > 0;
  }
  config.set_layers(layers);
}

void read_experts(HfConfig& keys, const MixtureConfig& defaults, DecoderConfig& config) {
  MixtureConfig& mixture = config.mixture;
  mixture = defaults;
  mixture.experts = keys.size("num_experts", defaults.experts);
  mixture.per_token = keys.size("num_experts_per_tok", defaults.per_token);
  mixture.ffn = keys.size("moe_intermediate_size", defaults.ffn);
  mixture.renormalise = keys.flag("norm_topk_prob", false);
  // transformers adds the loss where it returns the router's logits.
  mixture.balance = keys.flag("output_router_logits", false);
  mixture.coefficient = keys.number_or("router_aux_loss_coef", 0.001);
  read_dense_layers(keys, config);
}

int64_t window_of(HfConfig& keys) {
  if (keys.flag("use_sliding_window", false)) return read_window(keys, "sliding_window", 4096);
  keys.ignore("sliding_window");
  return 0;
}

ordered_json written(const DecoderConfig& config, const LlamaForm& form) {
  auto keys = ordered_json::parse(write_llama(config, form));
  const MixtureConfig& mixture = config.mixture;
  const int64_t window = config.largest_window();
  keys["use_sliding_window"] = window > 0;
  keys["sliding_window"] = nullptr;
  if (window > 0) keys["sliding_window"] = window;
  keys["num_experts"] = mixture.experts;
  keys["num_experts_per_tok"] = mixture.per_token;
  keys["moe_intermediate_size"] = config.expert_ffn();
  keys["norm_topk_prob"] = mixture.renormalise;
  keys["output_router_logits"] = mixture.balance;
  keys["router_aux_loss_coef"] = mixture.coefficient;
  keys["decoder_sparse_step"] = 1;
  keys["mlp_only_layers"] = ordered_json::array();
  for (int64_t i = 0; i < config.layers; ++i) {
    if (!config.has_experts(i)) keys["mlp_only_layers"].push_back(i);
  }
  return keys;
}

// ---------------------------------------------------------------- Qwen 2
DecoderConfig blank2() {
  DecoderConfig config;
  config.qkv_bias = true;
  config.mixture = {
      .experts = 60, .per_token = 4, .renormalise = false, .balance = true, .coefficient = 0.001};
  config.mixture.shared_experts = 1;
  config.mixture.shared_gate = true;
  return config;
}

DecoderConfig parse2(HfConfig& keys) {
  DecoderConfig config = blank2();
  parse_llama(keys, kQwen2, config);
  config.qkv_bias = keys.flag("qkv_bias", true);
  const double end = keys.number_or("max_window_layers", 28);
  read_layer_types(keys, config, window_of(keys), [&](int64_t layer) {
    return layer % 2 == 0 && static_cast<double>(layer) < end;
  });
  MixtureConfig defaults = config.mixture;
  defaults.ffn = 1408;
  read_experts(keys, defaults, config);
  config.mixture.shared_ffn = keys.size("shared_expert_intermediate_size", 5632);
  return config;
}

std::string write2(const DecoderConfig& config) {
  ordered_json keys = written(config, kQwen2);
  keys["qkv_bias"] = config.qkv_bias;
  keys["max_window_layers"] = config.layers;
  keys["layer_types"] = layer_types(config);
  keys["shared_expert_intermediate_size"] = config.shared_ffn();
  return keys.dump();
}

std::vector<WeightRule> weights2(const DecoderConfig& config) {
  std::vector<WeightRule> rules = llama_weights(config, kQwen2);
  add_mixture_rules(config, "mlp.shared_expert", rules);
  return rules;
}

// ---------------------------------------------------------------- Qwen 3
DecoderConfig blank3() {
  DecoderConfig config;
  config.qk_norm = QkNorm::kHead;
  config.mixture = {
      .experts = 128, .per_token = 8, .renormalise = true, .balance = true, .coefficient = 0.001};
  return config;
}

DecoderConfig parse3(HfConfig& keys) {
  keys.alias("num_experts", "num_local_experts");
  DecoderConfig config = blank3();
  parse_llama(keys, kQwen3, config);
  config.qkv_bias = config.o_bias = keys.flag("attention_bias", false);
  keys.ignore("max_window_layers");  // transformers' Qwen3-MoE has one window for all layers
  config.pattern = {{.window = window_of(keys)}};
  MixtureConfig defaults = config.mixture;
  defaults.ffn = 768;
  read_experts(keys, defaults, config);
  return config;
}

std::string write3(const DecoderConfig& config) {
  ordered_json keys = written(config, kQwen3);
  keys["attention_bias"] = config.qkv_bias;
  return keys.dump();
}

std::vector<WeightRule> weights3(const DecoderConfig& config) {
  std::vector<WeightRule> rules = llama_weights(config, kQwen3);
  add_mixture_rules(config, "", rules);
  return rules;
}

}  // namespace

Family qwen2_moe_family() {
  return {.model_type = "qwen2_moe",
          .architecture = "Qwen2MoeForCausalLM",
          .prefix = "model.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank2,
          .parse = parse2,
          .write = write2,
          .weights = weights2};
}

Family qwen3_moe_family() {
  return {.model_type = "qwen3_moe",
          .architecture = "Qwen3MoeForCausalLM",
          .prefix = "model.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank3,
          .parse = parse3,
          .write = write3,
          .weights = weights3};
}

}  // namespace ashlar::models
