// Gemma 1 to 3 (Gemma team 2024, 2024, 2025): norms scale by 1 + weight, the embedding by
// sqrt(width), heads are wider than width / heads. Gemma 2 has norms on both sides of a branch,
// soft caps and windows in every other layer; Gemma 3 norms of queries and keys, and another
// rotation where there are windows.
#include "ashlar/base/error.h"
#include "ashlar/models/families.h"
#include "ashlar/models/hf_keys.h"
#include "ashlar/models/llama.h"

#include <nlohmann/json.hpp>

#include <cmath>

namespace ashlar::models {
namespace {

constexpr LlamaForm kGemma{.activation = "gelu_pytorch_tanh",
                           .kv_heads = 16,
                           .head_dim = 256,
                           .max_positions = 8192,
                           .tied = true};
constexpr LlamaForm kGemma2{.activation_key = "hidden_activation",
                            .activation = "gelu_pytorch_tanh",
                            .kv_heads = 4,
                            .head_dim = 256,
                            .max_positions = 8192,
                            .tied = true};

// ---------------------------------------------------------------- Gemma
DecoderConfig blank1() {
  DecoderConfig config;
  config.activation = kernels::Activation::kGeluTanh;
  config.zero_centred_norm = true;
  config.tied_head = true;
  config.embedding_scale = kSqrtWidth;
  return config;
}

void parse_attention(HfConfig& keys, DecoderConfig& config) {
  keys.only("use_bidirectional_attention", false);
  config.qkv_bias = config.o_bias = keys.flag("attention_bias", false);
}

DecoderConfig parse1(HfConfig& keys) {
  DecoderConfig config = blank1();
  parse_llama(keys, kGemma, config);
  // The first files say "gelu" and mean this; others name it again as hidden_activation.
  if (config.activation == kernels::Activation::kGeluErf) {
    config.activation = kernels::Activation::kGeluTanh;
  }
  if (keys.has("hidden_activation")) {
    const auto again = read_activation(keys, "hidden_activation", "");
    ASHLAR_CHECK(again == config.activation, "{}: hidden_activation '{}' is not hidden_act '{}'",
                 keys.where(), activation_name(again), activation_name(config.activation));
  }
  parse_attention(keys, config);
  return config;
}

std::string write1(const DecoderConfig& config) {
  auto keys = nlohmann::ordered_json::parse(write_llama(config, kGemma));
  keys["attention_bias"] = config.qkv_bias;
  return keys.dump();
}

std::vector<WeightRule> weights1(const DecoderConfig& config) {
  return llama_weights(config, kGemma);
}

// ---------------------------------------------------------------- Gemma 2
DecoderConfig blank2() {
  DecoderConfig config = blank1();
  config.norm_placement = NormPlacement::kBoth;
  config.attention_softcap = 50;
  config.logit_softcap = 30;
  config.pattern = {{.window = 4096}, {}};
  return config;
}

// Null is no cap.
double read_softcap(HfConfig& keys, const std::string& key, double fallback) {
  return keys.is_null(key) ? 0 : keys.number(key, fallback);
}
nlohmann::ordered_json write_softcap(double cap) {
  return cap > 0 ? nlohmann::ordered_json(cap) : nlohmann::ordered_json();
}

void parse_query_scale(HfConfig& keys, DecoderConfig& config) {
  config.attention_scale = 1 / std::sqrt(keys.number("query_pre_attn_scalar", 256));
}
// What score_scale is 1 / sqrt of, a whole number in all files.
int64_t query_scalar(const DecoderConfig& config) {
  return std::llround(1 / std::pow(config.score_scale(0), 2));
}

DecoderConfig parse2(HfConfig& keys) {
  DecoderConfig config = blank2();
  parse_llama(keys, kGemma2, config);
  parse_attention(keys, config);
  parse_query_scale(keys, config);
  // Of old files, beside hidden_activation and sliding_window.
  keys.ignore("hidden_act sliding_window_size");
  config.attention_softcap = read_softcap(keys, "attn_logit_softcapping", 50);
  config.logit_softcap = read_softcap(keys, "final_logit_softcapping", 30);
  read_layer_types(keys, config, read_window(keys, "sliding_window", 4096),
                   [](int64_t layer) { return layer % 2 == 0; });
  return config;
}

std::string write2(const DecoderConfig& config) {
  auto keys = nlohmann::ordered_json::parse(write_llama(config, kGemma2));
  const int64_t window = config.largest_window();
  keys["attention_bias"] = config.qkv_bias;
  keys["query_pre_attn_scalar"] = query_scalar(config);
  keys["attn_logit_softcapping"] = write_softcap(config.attention_softcap);
  keys["final_logit_softcapping"] = write_softcap(config.logit_softcap);
  keys["sliding_window"] = nullptr;
  if (window > 0) keys["sliding_window"] = window;
  keys["layer_types"] = layer_types(config);
  return keys.dump();
}

std::vector<WeightRule> weights2(const DecoderConfig& config) {
  return llama_weights(config, kGemma2);
}

// ---------------------------------------------------------------- Gemma 3, text alone
constexpr LlamaForm kGemma3{.activation_key = "hidden_activation",
                            .activation = "gelu_pytorch_tanh",
                            .kv_heads = 4,
                            .head_dim = 256,
                            .max_positions = 131072,
                            .tied = true,
                            .rope = {.theta = 1e6, .any_partial = false, .by_layer_type = true}};
constexpr const char* kFull = "full_attention";
constexpr const char* kSliding = "sliding_attention";

DecoderConfig blank3() {
  DecoderConfig config = blank1();
  config.norm_placement = NormPlacement::kBoth;
  config.qk_norm = QkNorm::kHead;
  config.rope.theta = 1e6;
  config.local_rope.theta = 10000;
  const LayerConfig local{.window = 4096, .local_rope = true};
  config.pattern = {local, local, local, local, local, {}};
  return config;
}

DecoderConfig parse3(HfConfig& keys) {
  DecoderConfig config = blank3();
  parse_llama(keys, kGemma3, config);
  parse_attention(keys, config);
  parse_query_scale(keys, config);
  const double local_theta = keys.number("rope_local_base_freq", 10000);
  config.local_rope = read_layer_rope(
      keys, kSliding, config, {.theta = local_theta, .any_partial = false}, OldScaling::kOfOthers);
  keys.ignore("attn_logit_softcapping");  // Gemma 3's attention has no cap, whatever this says
  config.logit_softcap = read_softcap(keys, "final_logit_softcapping", 0);
  const int64_t window = read_window(keys, "sliding_window", 4096);
  const int64_t every = keys.size("sliding_window_pattern", 6);
  // The pattern of local layers first: a window may be wider than any context.
  read_layer_types(keys, config, 1, [&](int64_t layer) { return (layer + 1) % every != 0; });
  for (LayerConfig& layer : config.pattern) {
    layer.local_rope = layer.window > 0;
    layer.window = layer.local_rope ? window : 0;
  }
  return config;
}

std::string write3(const DecoderConfig& config) {
  auto keys = nlohmann::ordered_json::parse(write_llama(config, kGemma3));
  const int64_t window = config.largest_window();
  std::vector<std::string> types;
  for (int64_t i = 0; i < config.layers; ++i) {
    types.emplace_back(config.layer(i).local_rope ? kSliding : kFull);
  }
  keys["attention_bias"] = config.qkv_bias;
  keys["query_pre_attn_scalar"] = query_scalar(config);
  keys["final_logit_softcapping"] = write_softcap(config.logit_softcap);
  keys["sliding_window"] = nullptr;
  if (window > 0) keys["sliding_window"] = window;
  keys["layer_types"] = types;
  keys["rope_local_base_freq"] = config.local_rope.theta;
  if (config.local_rope.scaling != RopeScaling::kDefault) {  // only version 5 has a form for it
    keys["rope_parameters"] = {
        {kFull, nlohmann::ordered_json::parse(write_rope_object(config.rope))},
        {kSliding, nlohmann::ordered_json::parse(write_rope_object(config.local_rope))}};
    keys.erase("rope_scaling");
  }
  return keys.dump();
}

std::vector<WeightRule> weights3(const DecoderConfig& config) {
  return llama_weights(config, kGemma3);
}

}  // namespace

Family gemma_family() {
  return {.model_type = "gemma",
          .architecture = "GemmaForCausalLM",
          .prefix = "model.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank1,
          .parse = parse1,
          .write = write1,
          .weights = weights1};
}

Family gemma2_family() {
  return {.model_type = "gemma2",
          .architecture = "Gemma2ForCausalLM",
          .prefix = "model.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank2,
          .parse = parse2,
          .write = write2,
          .weights = weights2};
}

Family gemma3_family() {
  return {.model_type = "gemma3_text",
          .architecture = "Gemma3ForCausalLM",
          .prefix = "model.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank3,
          .parse = parse3,
          .write = write3,
          .weights = weights3};
}

}  // namespace ashlar::models
