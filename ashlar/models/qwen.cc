// Qwen 2 (Yang et al. 2024) and Qwen 3 (2025): LLaMAs of which some layers may see a window; the
// one with biases of queries, keys and values, the other with norms of each head's queries and
// keys.
#include "ashlar/models/families.h"
#include "ashlar/models/hf_keys.h"
#include "ashlar/models/llama.h"

#include <nlohmann/json.hpp>

namespace ashlar::models {
namespace {

constexpr LlamaForm kQwen2{.kv_heads = 32, .max_positions = 32768};
constexpr LlamaForm kQwen3{.kv_heads = 32, .head_dim = 128, .max_positions = 32768};

// use_sliding_window switches on, from layer max_window_layers on or where layer_types says so.
void read_windows(HfConfig& keys, DecoderConfig& config) {
  const int64_t given = read_window(keys, "sliding_window", 4096);
  const int64_t window = keys.flag("use_sliding_window", false) ? given : 0;
  const double full = keys.number_or("max_window_layers", 28);
  read_layer_types(keys, config, window,
                   [&](int64_t layer) { return static_cast<double>(layer) >= full; });
}

std::string written(const DecoderConfig& config, const LlamaForm& form, bool attention_bias) {
  auto keys = nlohmann::ordered_json::parse(write_llama(config, form));
  const int64_t window = config.largest_window();
  keys["use_sliding_window"] = window > 0;
  keys["sliding_window"] = nullptr;
  if (window > 0) keys["sliding_window"] = window;
  keys["max_window_layers"] = config.layers;
  keys["layer_types"] = layer_types(config);
  if (attention_bias) keys["attention_bias"] = config.qkv_bias;
  return keys.dump();
}

DecoderConfig blank2() {
  DecoderConfig config;
  config.qkv_bias = true;
  return config;
}

DecoderConfig parse2(HfConfig& keys) {
  DecoderConfig config = blank2();
  parse_llama(keys, kQwen2, config);
  read_windows(keys, config);
  return config;
}

std::string write2(const DecoderConfig& config) { return written(config, kQwen2, false); }

std::vector<WeightRule> weights2(const DecoderConfig& config) {
  return llama_weights(config, kQwen2);
}

DecoderConfig blank3() {
  DecoderConfig config;
  config.qk_norm = QkNorm::kHead;
  return config;
}

DecoderConfig parse3(HfConfig& keys) {
  DecoderConfig config = blank3();
  parse_llama(keys, kQwen3, config);
  config.qkv_bias = config.o_bias = keys.flag("attention_bias", false);
  read_windows(keys, config);
  return config;
}

std::string write3(const DecoderConfig& config) { return written(config, kQwen3, true); }

std::vector<WeightRule> weights3(const DecoderConfig& config) {
  return llama_weights(config, kQwen3);
}

}  // namespace

Family qwen2_family() {
  return {.model_type = "qwen2",
          .architecture = "Qwen2ForCausalLM",
          .prefix = "model.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank2,
          .parse = parse2,
          .write = write2,
          .weights = weights2};
}

Family qwen3_family() {
  return {.model_type = "qwen3",
          .architecture = "Qwen3ForCausalLM",
          .prefix = "model.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank3,
          .parse = parse3,
          .write = write3,
          .weights = weights3};
}

}  // namespace ashlar::models
