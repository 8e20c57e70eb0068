// ModernBERT (Warner et al. 2024): rotary positions, a gated MLP, norms first and without bias, and
// layers that see the whole text among layers that see a window, each with frequencies of its own.
#include "ashlar/base/error.h"
#include "ashlar/base/shown_text.h"
#include "ashlar/models/encoder_keys.h"
#include "ashlar/models/families.h"
#include "ashlar/models/hf_keys.h"
#include "ashlar/models/hf_rope.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

#include <algorithm>

namespace ashlar::models {
namespace {

using nlohmann::ordered_json;

constexpr const char* kGlobal = "full_attention";
constexpr const char* kLocal = "sliding_attention";
constexpr int64_t kPeriod = 3;  // every third layer sees the whole text

DecoderConfig blank() {
  DecoderConfig config = blank_encoder();
  config.norm_eps = 1e-5;
  config.norm_bias = false;
  config.norm_placement = NormPlacement::kInput;
  config.final_norm = true;
  config.first_norm = false;
  config.gated = true;
  config.qkv_bias = config.o_bias = config.mlp_bias = false;
  config.positions = Positions::kRotary;
  config.rope.theta = 160000;
  config.local_rope.theta = 10000;
  config.head_transform.bias = false;
  return config;
}

void read_layers(HfConfig& keys, DecoderConfig& config) {
  // local_attention counts both sides; a side ends at that distance, and begins at the token
  // itself.
  const LayerConfig local{.window = keys.size("local_attention", 128) / 2 + 1, .local_rope = true};
  const int64_t every = keys.size("global_attn_every_n_layers", kPeriod);
  std::vector<LayerConfig> layers;
  const std::vector<std::string> kinds = keys.strings("layer_types");
  for (int64_t layer = 0; layer < config.layers && kinds.empty(); ++layer) {
    layers.push_back(layer % every != 0 ? local : LayerConfig{});
  }
  for (const std::string& kind : kinds) {
    ASHLAR_CHECK(kind == kGlobal || kind == kLocal,
                 "{}: layer_types holds {}; supported are {} and {}", keys.where(),
                 shown_text(kind), kGlobal, kLocal);
    layers.push_back(kind == kLocal ? local : LayerConfig{});
  }
  ASHLAR_CHECK(std::ssize(layers) == config.layers,
               "{}: layer_types has {} entries, num_hidden_layers is {}", keys.where(),
               layers.size(), config.layers);
  config.set_layers(layers);
}

DecoderConfig parse(HfConfig& keys) {
  keys.ignore(
      "mlp_dropout classifier_dropout classifier_pooling cls_token_id deterministic_flash_attn "
      "initializer_cutoff_factor reference_compile repad_logits_with_grad sparse_prediction "
      "sparse_pred_ignore_index position_embedding_type");
  DecoderConfig config = blank();
  read_encoder_sizes(keys, config);
  config.max_positions = keys.size("max_position_embeddings", 8192);
  keys.prefer("norm_eps", "layer_norm_eps");
  config.norm_eps = keys.number("norm_eps", 1e-5);
  config.norm_bias = keys.flag("norm_bias", false);
  config.activation = read_activation(keys, "hidden_activation", "gelu");
  config.qkv_bias = config.o_bias = keys.flag("attention_bias", false);
  config.mlp_bias = keys.flag("mlp_bias", false);
  config.embedding_dropout = keys.number_or("embedding_dropout", 0);
  config.attention_dropout = keys.number_or("attention_dropout", 0);
  config.head_transform.bias = keys.flag("classifier_bias", false);
  config.head_transform.activation = read_activation(keys, "classifier_activation", "gelu");
  config.head_bias = keys.flag("decoder_bias", true);
  const auto read_kind = [&](const char* kind, const char* base, double theta) {
    return read_layer_rope(keys, kind, config,
                           {.theta = keys.number(base, theta), .any_partial = false});
  };
  config.rope = read_kind(kGlobal, "global_rope_theta", 160000);
  config.local_rope = read_kind(kLocal, "local_rope_theta", 10000);
  read_layers(keys, config);
  return config;
}

std::string write(const DecoderConfig& config) {
  auto keys = ordered_json::parse(write_encoder_sizes(config));
  const int64_t window = config.largest_window();
  ordered_json types = ordered_json::array();
  for (int64_t i = 0; i < config.layers; ++i) {
    types.push_back(config.layer(i).local_rope ? kLocal : kGlobal);
  }
  keys.update({{"max_position_embeddings", config.max_positions},
               {"norm_eps", config.norm_eps},
               {"norm_bias", config.norm_bias},
               {"hidden_activation", activation_name(config.activation)},
               {"attention_bias", config.qkv_bias},
               {"mlp_bias", config.mlp_bias},
               {"embedding_dropout", config.embedding_dropout},
               {"attention_dropout", config.attention_dropout},
               {"classifier_bias", config.head_transform.bias},
               {"classifier_activation", activation_name(config.head_transform.activation)},
               {"decoder_bias", config.head_bias},
               {"layer_types", types}});
  if (window > 0) keys["local_attention"] = 2 * (window - 1);
  keys["rope_parameters"] = {{kGlobal, ordered_json::parse(write_rope_object(config.rope))},
                             {kLocal, ordered_json::parse(write_rope_object(config.local_rope))}};
  return keys.dump();
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  std::vector<WeightRule> rules = {{"model.embeddings.tok_embeddings.weight", {"embed.weight"}}};
  const auto add = [&](const std::string& theirs, const std::vector<std::string>& ours, bool bias) {
    add_rules(rules, theirs, ours, bias);
  };
  add("model.embeddings.norm", {"embed_norm"}, config.norm_bias);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string theirs = fmt::format("model.layers.{}.", layer);
    const std::string ours = fmt::format("layers.{}.", layer);
    if (layer > 0) add(theirs + "attn_norm", {ours + "attn_norm"}, config.norm_bias);
    add(theirs + "attn.Wqkv", {ours + "attn.q", ours + "attn.k", ours + "attn.v"}, config.qkv_bias);
    add(theirs + "attn.Wo", {ours + "attn.o"}, config.o_bias);
    add(theirs + "mlp_norm", {ours + "mlp_norm"}, config.norm_bias);
    add(theirs + "mlp.Wi", {ours + "mlp.gate", ours + "mlp.up"}, config.mlp_bias);
    add(theirs + "mlp.Wo", {ours + "mlp.down"}, config.mlp_bias);
  }
  add("model.final_norm", {"final_norm"}, config.norm_bias);
  add_head_rules(config,
                 {.dense = "head.dense",
                  .norm = "head.norm",
                  .decoder = "decoder",
                  .tied_bias = "decoder.bias"},
                 rules);
  return rules;
}

}  // namespace

Family modernbert_family() {
  return {.model_type = "modernbert",
          .architecture = "ModernBertForMaskedLM",
          .prefix = "model.",
          .buffers = {".inv_freq"},
          .others = {"head.", "decoder.", "classifier."},
          .blank = blank,
          .parse = parse,
          .write = write,
          .weights = weights};
}

}  // namespace ashlar::models
