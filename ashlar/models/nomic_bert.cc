// Nomic's BERT (Nussbaum et al. 2024): rotary positions, a gated MLP, no biases. Its config.json
// has transformers' own keys, or those of the GPT-2 that its first code was made from.
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

constexpr RopeDefaults kRope{.theta = 1000, .any_partial = false};

DecoderConfig blank() {
  DecoderConfig config = blank_encoder();
  config.token_types = 2;
  config.gated = true;
  config.activation = kernels::Activation::kSilu;
  config.qkv_bias = config.o_bias = config.mlp_bias = false;
  config.positions = Positions::kRotary;
  config.rope.theta = 1000;
  config.head_transform.activation = config.activation;
  return config;
}

// The keys of the first code beyond those that have another name in transformers.
void parse_first_keys(HfConfig& keys, DecoderConfig& config) {
  keys.only("causal", false);
  keys.only("prenorm", false);
  keys.only("use_rms_norm", false);
  keys.only("parallel_block", false);
  keys.only("rotary_emb_fraction", 1.0);
  keys.only("scale_attn_weights", true);
  keys.only("scale_attn_by_inverse_layer_idx", false);
  keys.ignore(
      "dense_seq_output fused_bias_fc fused_dropout_add_ln "
      "pad_vocab_size_multiple parallel_block_tied_norm reorder_and_upcast_attn summary_activation "
      "summary_first_dropout summary_proj_to_labels summary_type summary_use_proj use_flash_attn "
      "use_xentropy");
  config.embedding_dropout = keys.number_or("embd_pdrop", 0);
  config.residual_dropout = keys.number_or("resid_pdrop", 0);
  config.attention_dropout = keys.number_or("attn_pdrop", 0);
  config.qkv_bias = config.o_bias = keys.flag("qkv_proj_bias", true);
  config.mlp_bias = keys.flag("mlp_fc1_bias", true);
  keys.only("mlp_fc2_bias", config.mlp_bias);
  config.rope.theta = keys.number_or("rotary_emb_base", 10000);
  config.rope.interleaved = keys.flag("rotary_emb_interleaved", false);
  // Beyond the positions it was trained on the factor stretches the frequencies.
  if (keys.has("rotary_scaling_factor")) {
    keys.number("rotary_scaling_factor");
    config.max_positions = std::min(config.max_positions, keys.size("max_trained_positions", 2048));
  }
  keys.ignore("max_trained_positions");
  const std::string activation = keys.text("activation_function", "gelu");
  config.gated = activation == "swiglu" || activation == "geglu";
  ASHLAR_CHECK(config.gated,
               "{}: activation_function {} is not supported; supported are swiglu, geglu",
               keys.where(), shown_text(activation));
  config.activation =
      activation == "swiglu" ? kernels::Activation::kSilu : kernels::Activation::kGeluErf;
}

DecoderConfig parse(HfConfig& keys) {
  const bool first = keys.has("n_embd");
  keys.alias("hidden_size", "n_embd");
  keys.alias("num_hidden_layers", "n_layer");
  keys.alias("num_attention_heads", "n_head");
  keys.alias("intermediate_size", "n_inner");
  keys.alias("max_position_embeddings", "n_positions");
  keys.alias("layer_norm_eps", "layer_norm_epsilon");
  keys.ignore("classifier_dropout");

  DecoderConfig config = blank();
  read_encoder_sizes(keys, config);
  config.max_positions = keys.size("max_position_embeddings", 2048);
  config.token_types = keys.size("type_vocab_size", 2);
  config.norm_eps = keys.number("layer_norm_eps", 1e-12);
  if (first) {
    parse_first_keys(keys, config);
  } else {
    config.activation = read_activation(keys, "hidden_act", "silu");
    config.rope = read_rope(keys, config, kRope);
    read_bert_dropout(keys, 0, config);
  }
  config.head_transform.activation = config.activation;
  return config;
}

std::string write(const DecoderConfig& config) {
  using nlohmann::ordered_json;
  ASHLAR_CHECK(!config.qkv_bias && !config.mlp_bias && !config.rope.interleaved,
               "nomic_bert: transformers' model has no biases and no interleaved rotation, so this "
               "one cannot be saved");
  auto keys = ordered_json::parse(write_encoder_sizes(config));
  keys.update({{"max_position_embeddings", config.max_positions},
               {"type_vocab_size", config.token_types},
               {"layer_norm_eps", config.norm_eps},
               {"hidden_act", activation_name(config.activation)},
               {"hidden_dropout_prob", config.residual_dropout},
               {"attention_probs_dropout_prob", config.attention_dropout},
               {"pad_token_id", 0}});  // transformers takes no null for it
  keys.update(ordered_json::parse(write_rope(config.rope, config.head_dim, kRope)));
  return keys.dump();
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  const std::string base = "nomic_bert.";
  std::vector<WeightRule> rules = {
      {base + "embeddings.word_embeddings.weight", {"embed.weight"}},
      {base + "embeddings.token_type_embeddings.weight", {"token_types.weight"}}};
  const auto add = [&](const std::string& theirs, const std::vector<std::string>& ours, bool bias) {
    add_rules(rules, theirs, ours, bias);
  };
  add(base + "emb_ln", {"embed_norm"}, true);
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string theirs = fmt::format("{}encoder.layers.{}.", base, layer);
    const std::string ours = fmt::format("layers.{}.", layer);
    add(theirs + "attn.Wqkv", {ours + "attn.q", ours + "attn.k", ours + "attn.v"}, config.qkv_bias);
    add(theirs + "attn.out_proj", {ours + "attn.o"}, config.o_bias);
    add(theirs + "norm1", {ours + "attn_norm"}, true);
    add(theirs + "mlp.fc11", {ours + "mlp.up"}, config.mlp_bias);
    add(theirs + "mlp.fc12", {ours + "mlp.gate"}, config.mlp_bias);
    add(theirs + "mlp.fc2", {ours + "mlp.down"}, config.mlp_bias);
    add(theirs + "norm2", {ours + "mlp_norm"}, true);
  }
  add_head_rules(config,
                 {.dense = "cls.predictions.transform.dense",
                  .norm = "cls.predictions.transform.layer_norm",
                  .decoder = "cls.predictions.decoder",
                  .tied_bias = "cls.predictions.bias"},
                 rules);
  return rules;
}

}  // namespace

Family nomic_bert_family() {
  return {.model_type = "nomic_bert",
          .architecture = "NomicBertForMaskedLM",
          .prefix = "nomic_bert.",
          .buffers = {"embeddings.position_ids", "embeddings.token_type_ids", ".inv_freq"},
          .others = {"pooler.", "cls.", "lm_head.", "classifier."},
          .older = {{"transform.layer_norm.weight", "transform.LayerNorm.weight"},
                    {"transform.layer_norm.bias", "transform.LayerNorm.bias"},
                    {"predictions.decoder.bias", "predictions.bias"},
                    {"predictions.bias", "predictions.decoder.bias"}},
          .blank = blank,
          .parse = parse,
          .write = write,
          .weights = weights};
}

}  // namespace ashlar::models
