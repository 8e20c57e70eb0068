// Nomic's BERT (Nussbaum et al. 2024): rotary positions, a gated MLP, no biases. Its config.json
// has transformers' own keys, or those of the GPT-2 that its first code was made from.
#include "ashlar/base/error.h"
#include "ashlar/models/encoder_keys.h"
#include "ashlar/models/hf_keys.h"

#include <fmt/format.h>

#include <algorithm>

namespace ashlar::models {
namespace {

// The keys of the first code beyond those that have another name in transformers.
void parse_first_keys(HfConfig& keys, EncoderConfig& config) {
  keys.only("causal", false);
  keys.only("prenorm", false);
  keys.only("use_rms_norm", false);
  keys.only("parallel_block", false);
  keys.only("rotary_emb_fraction", 1.0);
  keys.only("scale_attn_weights", true);
  keys.only("scale_attn_by_inverse_layer_idx", false);
  keys.ignore(
      "attn_pdrop embd_pdrop resid_pdrop dense_seq_output fused_bias_fc fused_dropout_add_ln "
      "pad_vocab_size_multiple parallel_block_tied_norm reorder_and_upcast_attn summary_activation "
      "summary_first_dropout summary_proj_to_labels summary_type summary_use_proj use_flash_attn "
      "use_xentropy");
  config.qkv_bias = config.o_bias = keys.flag("qkv_proj_bias", true);
  config.mlp_bias = keys.flag("mlp_fc1_bias", true);
  keys.only("mlp_fc2_bias", config.mlp_bias);
  config.rope.theta = keys.number("rotary_emb_base", 10000);
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
               "{}: activation_function '{}' is not supported; supported are swiglu, geglu",
               keys.where(), activation);
  config.activation =
      activation == "swiglu" ? kernels::Activation::kSilu : kernels::Activation::kGeluErf;
}

EncoderConfig parse(HfConfig& keys) {
  const bool first = keys.has("n_embd");
  keys.alias("hidden_size", "n_embd");
  keys.alias("num_hidden_layers", "n_layer");
  keys.alias("num_attention_heads", "n_head");
  keys.alias("intermediate_size", "n_inner");
  keys.alias("max_position_embeddings", "n_positions");
  keys.alias("layer_norm_eps", "layer_norm_epsilon");
  keys.ignore(
      "classifier_dropout hidden_dropout_prob attention_probs_dropout_prob tie_word_embeddings");

  EncoderConfig config = read_encoder_sizes(keys);
  config.max_positions = keys.size("max_position_embeddings", 2048);
  config.token_types = keys.size("type_vocab_size", 2);
  config.norm_eps = keys.number("layer_norm_eps", 1e-12);
  config.positions = Positions::kRotary;
  config.gated = true;
  if (first) {
    config.rope.rotary_dim = config.head_dim;
    parse_first_keys(keys, config);
  } else {
    config.qkv_bias = config.o_bias = config.mlp_bias = false;
    config.activation = read_activation(keys, "hidden_act", "silu");
    const double theta = keys.number("rope_theta", 1000);
    config.rope = read_plain_rope(keys.object("rope_parameters"), theta, config.head_dim);
  }
  return config;
}

std::vector<WeightRule> weights(const EncoderConfig& config) {
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
  return rules;
}

}  // namespace

EncoderFamily nomic_bert_family() {
  return {.model_type = "nomic_bert",
          .prefix = "nomic_bert.",
          .heads = {"pooler.", "cls.", "lm_head.", "classifier."},
          .parse = parse,
          .weights = weights};
}

}  // namespace ashlar::models
