// OLMo 2 (OLMo team 2024): a LLaMA whose branches are normalised where they join the residual
// stream, with norms over all queries and over all keys.
#include "ashlar/models/families.h"
#include "ashlar/models/llama.h"

#include <nlohmann/json.hpp>

namespace ashlar::models {
namespace {

constexpr LlamaForm kForm{.norm_eps = 1e-5};

DecoderConfig blank() {
  DecoderConfig config;
  config.norm_eps = 1e-5;
  config.norm_placement = NormPlacement::kOutput;
  config.qk_norm = QkNorm::kWidth;
  return config;
}

DecoderConfig parse(HfConfig& keys) {
  DecoderConfig config = blank();
  parse_llama(keys, kForm, config);
  config.qkv_bias = config.o_bias = keys.flag("attention_bias", false);
  return config;
}

std::string write(const DecoderConfig& config) {
  auto keys = nlohmann::ordered_json::parse(write_llama(config, kForm));
  keys["attention_bias"] = config.qkv_bias;
  return keys.dump();
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  return llama_weights(config, kForm);
}

}  // namespace

Family olmo2_family() {
  return {.model_type = "olmo2",
          .architecture = "Olmo2ForCausalLM",
          .prefix = "model.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank,
          .parse = parse,
          .write = write,
          .weights = weights};
}

}  // namespace ashlar::models
