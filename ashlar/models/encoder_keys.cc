#include "ashlar/models/encoder_keys.h"

#include "ashlar/base/error.h"
#include "ashlar/models/hf_keys.h"
#include "ashlar/models/max_layers.h"

#include <nlohmann/json.hpp>

namespace ashlar::models {

DecoderConfig blank_encoder() {
  DecoderConfig config;
  config.causal = false;
  config.norm = graph::NormKind::kLayer;
  config.norm_eps = 1e-12;
  config.norm_placement = NormPlacement::kStream;
  config.embedding_norm = true;
  config.final_norm = false;
  config.activation = kernels::Activation::kGeluErf;
  config.gated = false;
  config.qkv_bias = config.o_bias = config.mlp_bias = true;
  config.positions = Positions::kLearned;
  config.head_transform.enabled = true;
  config.tied_head = config.head_bias = true;
  return config;
}

void read_encoder_sizes(HfConfig& keys, DecoderConfig& config) {
  DecoderSizes sizes;
  sizes.vocab = keys.size("vocab_size");
  sizes.width = keys.size("hidden_size");
  sizes.layers = keys.size("num_hidden_layers", {}, kMaxLayers);
  sizes.heads = keys.size("num_attention_heads");
  sizes.ffn = keys.size("intermediate_size", 4 * sizes.width);
  ASHLAR_CHECK(keys.has("head_dim") || sizes.width % sizes.heads == 0,
               "{}: hidden_size {} is not a multiple of num_attention_heads {}", keys.where(),
               sizes.width, sizes.heads);
  sizes.head_dim = keys.size_or("head_dim", std::max<int64_t>(1, sizes.width / sizes.heads));
  config.resize(sizes);
  config.tied_head = keys.flag("tie_word_embeddings", true);
  read_shared_keys(keys, config);
}

std::string write_encoder_sizes(const DecoderConfig& config) {
  nlohmann::ordered_json keys{{"vocab_size", config.vocab},
                              {"hidden_size", config.width},
                              {"num_hidden_layers", config.layers},
                              {"num_attention_heads", config.heads},
                              {"intermediate_size", config.ffn}};
  if (config.heads * config.head_dim != config.width) keys["head_dim"] = config.head_dim;
  return keys.dump();
}

void read_bert_dropout(HfConfig& keys, double fallback, DecoderConfig& config) {
  config.embedding_dropout = config.residual_dropout =
      keys.number_or("hidden_dropout_prob", fallback);
  config.attention_dropout = keys.number_or("attention_probs_dropout_prob", fallback);
}

void add_rules(std::vector<WeightRule>& rules, const std::string& theirs,
               const std::vector<std::string>& ours, bool bias) {
  for (const char* part : {".weight", ".bias"}) {
    WeightRule rule{theirs + part, {}};
    for (const std::string& name : ours) rule.parameters.push_back(name + part);
    rules.push_back(std::move(rule));
    if (!bias) break;
  }
}

void add_head_rules(const DecoderConfig& config, const HeadNames& names,
                    std::vector<WeightRule>& rules) {
  if (!config.head_transform.enabled) return;
  add_rules(rules, names.dense, {"head.dense"}, config.head_transform.bias);
  add_rules(rules, names.norm, {"head.norm"}, config.norm_bias);
  if (!config.tied_head) rules.push_back({names.decoder + ".weight", {"head.weight"}});
  const std::string bias = config.tied_head ? names.tied_bias : names.decoder + ".bias";
  if (config.head_bias) rules.push_back({bias, {"head.bias"}});
}

}  // namespace ashlar::models
