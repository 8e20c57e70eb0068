// Mistral (Jiang et al. 2023): a LLaMA whose attention sees a window.
#include "ashlar/models/families.h"
#include "ashlar/models/hf_keys.h"
#include "ashlar/models/llama.h"

#include <nlohmann/json.hpp>

namespace ashlar::models {
namespace {

constexpr LlamaForm kForm{.kv_heads = 8, .max_positions = 131072};

DecoderConfig blank() { return {}; }

DecoderConfig parse(HfConfig& keys) {
  DecoderConfig config = blank();
  parse_llama(keys, kForm, config);
  config.pattern = {{.window = read_window(keys, "sliding_window", 4096)}};
  return config;
}

std::string write(const DecoderConfig& config) {
  auto keys = nlohmann::ordered_json::parse(write_llama(config, kForm));
  const int64_t window = config.layer(0).window;
  keys["sliding_window"] = nullptr;
  if (window > 0) keys["sliding_window"] = window;
  return keys.dump();
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  return llama_weights(config, kForm);
}

}  // namespace

Family mistral_family() {
  return {.model_type = "mistral",
          .architecture = "MistralForCausalLM",
          .prefix = "model.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank,
          .parse = parse,
          .write = write,
          .weights = weights};
}

}  // namespace ashlar::models
