// Granite (IBM 2024): a LLaMA with multipliers of the embedding, of what layers add, of scores and
// of logits.
#include "ashlar/models/families.h"
#include "ashlar/models/llama.h"

#include <nlohmann/json.hpp>

#include <cmath>

namespace ashlar::models {
namespace {

constexpr LlamaForm kForm;

DecoderConfig blank() { return {}; }

DecoderConfig parse(HfConfig& keys) {
  DecoderConfig config = blank();
  parse_llama(keys, kForm, config);
  config.qkv_bias = config.o_bias = keys.flag("attention_bias", false);
  config.mlp_bias = keys.flag("mlp_bias", false);
  config.embedding_scale = keys.number("embedding_multiplier", 1);
  config.residual_scale = keys.number("residual_multiplier", 1);
  config.attention_scale = keys.number("attention_multiplier", 1);
  config.logit_scale = 1 / keys.number("logits_scaling", 1);
  return config;
}

// 1 / scale; where that was a whole number, the very one.
double divisor_of(double scale) {
  const double divisor = 1 / scale, whole = std::round(divisor);
  return 1 / whole == scale ? whole : divisor;
}

std::string write(const DecoderConfig& config) {
  auto keys = nlohmann::ordered_json::parse(write_llama(config, kForm));
  keys["attention_bias"] = config.qkv_bias;
  keys["mlp_bias"] = config.mlp_bias;
  keys["embedding_multiplier"] = config.embedding_scale;
  keys["residual_multiplier"] = config.residual_scale;
  keys["attention_multiplier"] = config.score_scale(0);
  keys["logits_scaling"] = divisor_of(config.logit_scale);
  return keys.dump();
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  return llama_weights(config, kForm);
}

}  // namespace

Family granite_family() {
  return {.model_type = "granite",
          .architecture = "GraniteForCausalLM",
          .prefix = "model.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank,
          .parse = parse,
          .write = write,
          .weights = weights};
}

}  // namespace ashlar::models
