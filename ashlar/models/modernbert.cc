// ModernBERT (Warner et al. 2024): rotary positions, a gated MLP, norms first and without bias, and
// layers that see the whole text among layers that see a window, each with frequencies of its own.
#include "ashlar/base/error.h"
#include "ashlar/models/encoder_keys.h"
#include "ashlar/models/hf_keys.h"

#include <fmt/format.h>

namespace ashlar::models {
namespace {

constexpr const char* kGlobal = "full_attention";
constexpr const char* kLocal = "sliding_attention";

EncoderConfig parse(HfConfig& keys) {
  keys.ignore(
      "attention_dropout embedding_dropout mlp_dropout classifier_dropout classifier_pooling "
      "classifier_bias classifier_activation cls_token_id decoder_bias deterministic_flash_attn "
      "initializer_cutoff_factor reference_compile repad_logits_with_grad sparse_prediction "
      "sparse_pred_ignore_index tie_word_embeddings position_embedding_type");
  EncoderConfig config = read_encoder_sizes(keys);
  config.max_positions = keys.size("max_position_embeddings", 8192);
  keys.alias("norm_eps", "layer_norm_eps");
  config.norm_eps = keys.number("norm_eps", 1e-5);
  config.norm_bias = keys.flag("norm_bias", false);
  config.norm_first = config.gated = true;
  config.activation = read_activation(keys, "hidden_activation", "gelu");
  config.qkv_bias = config.o_bias = keys.flag("attention_bias", false);
  config.mlp_bias = keys.flag("mlp_bias", false);

  config.positions = Positions::kRotary;
  // One object for each kind of layer; older files have a key for each.
  double global_theta = keys.number("global_rope_theta", 160000);
  double local_theta = keys.number("local_rope_theta", 10000);
  config.rope = read_plain_rope(std::nullopt, global_theta, config.head_dim);
  config.local_rope = read_plain_rope(std::nullopt, local_theta, config.head_dim);
  if (auto kinds = keys.object("rope_parameters")) {
    config.rope = read_plain_rope(kinds->object(kGlobal), global_theta, config.head_dim);
    config.local_rope = read_plain_rope(kinds->object(kLocal), local_theta, config.head_dim);
    kinds->finish();
  }
  // local_attention counts both sides; a side ends at that distance, and begins at the token
  // itself.
  config.window = keys.size("local_attention", 128) / 2 + 1;
  const int64_t every = keys.size("global_attn_every_n_layers", 3);
  const std::vector<std::string> kinds = keys.strings("layer_types");
  for (int64_t layer = 0; layer < config.layers && kinds.empty(); ++layer) {
    config.local.push_back(layer % every != 0);
  }
  for (const std::string& kind : kinds) {
    ASHLAR_CHECK(kind == kGlobal || kind == kLocal,
                 "{}: layer_types holds '{}'; supported are {} and {}", keys.where(), kind, kGlobal,
                 kLocal);
    config.local.push_back(kind == kLocal);
  }
  return config;
}

std::vector<WeightRule> weights(const EncoderConfig& config) {
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
  return rules;
}

}  // namespace

EncoderFamily modernbert_family() {
  return {.model_type = "modernbert",
          .prefix = "model.",
          .heads = {"head.", "decoder.", "classifier."},
          .parse = parse,
          .weights = weights};
}

}  // namespace ashlar::models
