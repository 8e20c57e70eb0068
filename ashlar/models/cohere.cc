// Command R (Cohere 2024): layer norm without biases, attention and MLP side by side behind one
// norm, rotation of neighbouring channels, scaled logits.
#include "ashlar/models/families.h"
#include "ashlar/models/llama.h"

#include <nlohmann/json.hpp>

namespace ashlar::models {
namespace {

constexpr LlamaForm kForm{.norm_eps_key = "layer_norm_eps",
                          .norm_eps = 1e-5,
                          .max_positions = 8192,
                          .tied = true,
                          .rope = {.theta = 500000, .any_partial = false}};

DecoderConfig blank() {
  DecoderConfig config;
  config.norm = graph::NormKind::kLayer;
  config.norm_eps = 1e-5;
  config.norm_bias = false;
  config.mlp_input = MlpInput::kLayerOneNorm;
  config.tied_head = true;
  config.rope.interleaved = true;
  config.logit_scale = 0.0625;
  return config;
}

DecoderConfig parse(HfConfig& keys) {
  keys.ignore("pretraining_tp");
  DecoderConfig config = blank();
  parse_llama(keys, kForm, config);
  config.qkv_bias = config.o_bias = keys.flag("attention_bias", false);
  if (keys.flag("use_qk_norm", false)) config.qk_norm = QkNorm::kEachHead;
  config.logit_scale = keys.number("logit_scale", 0.0625);
  return config;
}

std::string write(const DecoderConfig& config) {
  auto keys = nlohmann::ordered_json::parse(write_llama(config, kForm));
  keys["attention_bias"] = config.qkv_bias;
  keys["use_qk_norm"] = config.qk_norm == QkNorm::kEachHead;
  keys["logit_scale"] = config.logit_scale;
  return keys.dump();
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  return llama_weights(config, kForm);
}

}  // namespace

Family cohere_family() {
  return {.model_type = "cohere",
          .architecture = "CohereForCausalLM",
          .prefix = "model.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank,
          .parse = parse,
          .write = write,
          .weights = weights};
}

}  // namespace ashlar::models
