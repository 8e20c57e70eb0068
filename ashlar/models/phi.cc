// Phi 1 to 2 (Li et al. 2023): layer norm, attention and a plain MLP side by side behind one norm,
// biases everywhere, the head's too; a share of each head rotates.
#include "ashlar/models/families.h"
#include "ashlar/models/llama.h"

#include <nlohmann/json.hpp>

namespace ashlar::models {
namespace {

void attention_rules(const DecoderConfig& config, const std::string& theirs,
                     const std::string& ours, std::vector<WeightRule>& rules) {
  for (const std::string name : {"q", "k", "v"}) {
    add_rules(theirs + "self_attn." + name + "_proj", ours + "attn." + name, true, rules);
  }
  add_rules(theirs + "self_attn.dense", ours + "attn.o", true, rules);
  if (config.qk_norm == QkNorm::kNone) return;
  add_rules(theirs + "self_attn.q_layernorm", ours + "attn.q_norm", true, rules);
  add_rules(theirs + "self_attn.k_layernorm", ours + "attn.k_norm", true, rules);
}

void mlp_rules(const DecoderConfig&, const std::string& theirs, const std::string& ours,
               std::vector<WeightRule>& rules) {
  add_rules(theirs + "mlp.fc1", ours + "mlp.up", true, rules);
  add_rules(theirs + "mlp.fc2", ours + "mlp.down", true, rules);
}

constexpr LlamaForm kForm{.norm_eps_key = "layer_norm_eps",
                          .norm_eps = 1e-5,
                          .activation = "gelu_new",
                          .rope = {.partial = 0.5},
                          .attention = attention_rules,
                          .mlp = mlp_rules,
                          .final_norm = "model.final_layernorm"};

DecoderConfig blank() {
  DecoderConfig config;
  config.norm = graph::NormKind::kLayer;
  config.norm_eps = 1e-5;
  config.activation = kernels::Activation::kGeluTanh;
  config.gated = false;
  config.mlp_input = MlpInput::kLayerOneNorm;
  config.qkv_bias = config.o_bias = config.mlp_bias = config.head_bias = true;
  config.qk_norm_bias = true;
  return config;
}

DecoderConfig parse(HfConfig& keys) {
  DecoderConfig config = blank();
  parse_llama(keys, kForm, config);
  if (keys.flag("qk_layernorm", false)) config.qk_norm = QkNorm::kHead;
  config.residual_dropout = keys.number_or("resid_pdrop", 0);
  config.embedding_dropout = keys.number_or("embd_pdrop", 0);
  return config;
}

std::string write(const DecoderConfig& config) {
  auto keys = nlohmann::ordered_json::parse(write_llama(config, kForm));
  keys["qk_layernorm"] = config.qk_norm == QkNorm::kHead;
  keys["resid_pdrop"] = config.residual_dropout;
  keys["embd_pdrop"] = config.embedding_dropout;
  return keys.dump();
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  return llama_weights(config, kForm);
}

}  // namespace

Family phi_family() {
  return {.model_type = "phi",
          .architecture = "PhiForCausalLM",
          .prefix = "model.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank,
          .parse = parse,
          .write = write,
          .weights = weights};
}

}  // namespace ashlar::models
