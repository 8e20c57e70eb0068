// OPT (Zhang et al. 2022): learned positions from row 2 on, layer norm, a plain ReLU MLP. The model
// of 350M normalises the residual stream behind each branch, has no norm at the end, and an
// embedding narrower than its layers.
#include "ashlar/base/error.h"
#include "ashlar/models/families.h"
#include "ashlar/models/hf_keys.h"
#include "ashlar/models/llama.h"
#include "ashlar/models/max_layers.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace ashlar::models {
namespace {

constexpr int64_t kPositionOffset = 2;

DecoderConfig blank() {
  DecoderConfig config;
  config.norm = graph::NormKind::kLayer;
  config.norm_eps = 1e-5;
  config.activation = kernels::Activation::kRelu;
  config.gated = false;
  config.qkv_bias = config.o_bias = config.mlp_bias = true;
  config.tied_head = true;
  config.positions = Positions::kLearned;
  config.position_offset = kPositionOffset;
  return config;
}

DecoderConfig parse(HfConfig& keys) {
  keys.ignore("activation_dropout");  // read by no version
  DecoderConfig config = blank();
  DecoderSizes sizes;
  sizes.vocab = keys.size("vocab_size");
  sizes.width = keys.size("hidden_size");
  sizes.layers = keys.size("num_hidden_layers", {}, kMaxLayers);
  sizes.heads = keys.size("num_attention_heads");
  ASHLAR_CHECK(sizes.width % sizes.heads == 0,
               "{}: hidden_size {} is not a multiple of num_attention_heads {}", keys.where(),
               sizes.width, sizes.heads);
  sizes.ffn = keys.size("ffn_dim");
  sizes.max_positions = keys.size("max_position_embeddings", 2048);
  config.resize(sizes);
  const int64_t embedding = keys.size_or("word_embed_proj_dim", config.width);
  if (embedding != config.width) config.embedding_width = embedding;
  const bool before = keys.flag("do_layer_norm_before", true);
  config.norm_placement = before ? NormPlacement::kInput : NormPlacement::kStream;
  config.final_norm = before && !keys.flag("_remove_final_layer_norm", false);
  config.norm_affine = keys.flag("layer_norm_elementwise_affine", true);
  config.qkv_bias = config.o_bias = config.mlp_bias = keys.flag("enable_bias", true);
  config.activation = read_activation(keys, "activation_function", "relu");
  config.tied_head = keys.flag("tie_word_embeddings", true);
  config.residual_dropout = keys.number_or("dropout", 0.1);
  config.attention_dropout = keys.number_or("attention_dropout", 0);
  config.layerdrop = keys.number_or("layerdrop", 0);
  keys.prefer("initializer_range", "init_std");
  read_shared_keys(keys, config);
  return config;
}

std::string write(const DecoderConfig& config) {
  const bool before = config.norm_placement == NormPlacement::kInput;
  return nlohmann::ordered_json{
      {"vocab_size", config.vocab},
      {"hidden_size", config.width},
      {"num_hidden_layers", config.layers},
      {"num_attention_heads", config.heads},
      {"ffn_dim", config.ffn},
      {"max_position_embeddings", config.max_positions},
      {"word_embed_proj_dim", config.embedding_width > 0 ? config.embedding_width : config.width},
      {"do_layer_norm_before", before},
      {"_remove_final_layer_norm", before && !config.final_norm},
      {"layer_norm_elementwise_affine", config.norm_affine},
      {"enable_bias", config.mlp_bias},
      {"activation_function", activation_name(config.activation)},
      {"dropout", config.residual_dropout},
      {"attention_dropout", config.attention_dropout},
      {"layerdrop", config.layerdrop},
      {"init_std", config.initializer_range},
  }
      .dump();
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  std::vector<WeightRule> rules = {
      {"model.decoder.embed_tokens.weight", {"embed.weight"}},
      {"model.decoder.embed_positions.weight", {"positions.weight"}},
  };
  const auto add_norm = [&](const std::string& theirs, const std::string& ours) {
    if (config.norm_affine) add_rules(theirs, ours, true, rules);
  };
  if (config.embedding_width > 0) {
    add_rules("model.decoder.project_in", "project_in", false, rules);
    add_rules("model.decoder.project_out", "project_out", false, rules);
  }
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string theirs = fmt::format("model.decoder.layers.{}.", layer);
    const std::string ours = fmt::format("layers.{}.", layer);
    for (const std::string name : {"q", "k", "v"}) {
      add_rules(theirs + "self_attn." + name + "_proj", ours + "attn." + name, config.qkv_bias,
                rules);
    }
    add_rules(theirs + "self_attn.out_proj", ours + "attn.o", config.o_bias, rules);
    add_norm(theirs + "self_attn_layer_norm", ours + "attn_norm");
    add_rules(theirs + "fc1", ours + "mlp.up", config.mlp_bias, rules);
    add_rules(theirs + "fc2", ours + "mlp.down", config.mlp_bias, rules);
    add_norm(theirs + "final_layer_norm", ours + "mlp_norm");
  }
  if (config.final_norm) add_norm("model.decoder.final_layer_norm", "final_norm");
  if (!config.tied_head) rules.push_back({"lm_head.weight", {"head.weight"}});
  return rules;
}

}  // namespace

Family opt_family() {
  return {.model_type = "opt",
          .architecture = "OPTForCausalLM",
          .prefix = "model.",
          .buffers = {},
          .blank = blank,
          .parse = parse,
          .write = write,
          .weights = weights};
}

}  // namespace ashlar::models
