// StableLM (Bellagente et al. 2024): a LLaMA with layer norms, of which a share of each head
// rotates; queries and keys may have norms of each head's own, the MLP may stand beside attention.
#include "ashlar/models/families.h"
#include "ashlar/models/llama.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace ashlar::models {
namespace {

// Each head's norm is a tensor of its own.
void attention_rules(const DecoderConfig& config, const std::string& theirs,
                     const std::string& ours, std::vector<WeightRule>& rules) {
  for (const std::string name : {"q", "k", "v", "o"}) {
    add_rules(theirs + "self_attn." + name + "_proj", ours + "attn." + name,
              name != "o" && config.qkv_bias, rules);
  }
  if (config.qk_norm == QkNorm::kNone) return;
  for (const std::string name : {"q", "k"}) {
    const int64_t heads = name == "q" ? config.heads : config.kv_heads;
    for (int64_t head = 0; head < heads; ++head) {
      rules.push_back(
          {.tensor = fmt::format("{}self_attn.{}_layernorm.norms.{}.weight", theirs, name, head),
           .parameters = {ours + "attn." + name + "_norm.weight"},
           .index = head});
    }
  }
}

constexpr LlamaForm kForm{.norm_eps_key = "layer_norm_eps",
                          .norm_eps = 1e-5,
                          .kv_heads = 32,
                          .max_positions = 4096,
                          .rope = {.partial = 0.25},
                          .attention = attention_rules};

DecoderConfig blank() {
  DecoderConfig config;
  config.norm = graph::NormKind::kLayer;
  config.norm_eps = 1e-5;
  return config;
}

DecoderConfig parse(HfConfig& keys) {
  DecoderConfig config = blank();
  parse_llama(keys, kForm, config);
  config.qkv_bias = keys.flag("use_qkv_bias", false);
  if (keys.flag("qk_layernorm", false)) config.qk_norm = QkNorm::kEachHead;
  if (keys.flag("use_parallel_residual", false)) config.mlp_input = MlpInput::kLayerOneNorm;
  config.residual_dropout = keys.number_or("hidden_dropout", 0);
  return config;
}

std::string write(const DecoderConfig& config) {
  auto keys = nlohmann::ordered_json::parse(write_llama(config, kForm));
  keys["use_qkv_bias"] = config.qkv_bias;
  keys["qk_layernorm"] = config.qk_norm == QkNorm::kEachHead;
  keys["use_parallel_residual"] = config.mlp_input == MlpInput::kLayerOneNorm;
  keys["hidden_dropout"] = config.residual_dropout;
  return keys.dump();
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  return llama_weights(config, kForm);
}

}  // namespace

Family stablelm_family() {
  return {.model_type = "stablelm",
          .architecture = "StableLmForCausalLM",
          .prefix = "model.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank,
          .parse = parse,
          .write = write,
          .weights = weights};
}

}  // namespace ashlar::models
