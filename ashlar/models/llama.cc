// LLaMA (Touvron et al. 2023; Llama 3: Grattafiori et al. 2024): rotary positions, RMS norm before
// each block, grouped-query attention, SwiGLU.
#include "ashlar/models/llama.h"

#include "ashlar/base/error.h"
#include "ashlar/models/families.h"
#include "ashlar/models/hf_keys.h"
#include "ashlar/models/max_layers.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace ashlar::models {

void parse_llama(HfConfig& keys, const LlamaForm& form, DecoderConfig& config) {
  DecoderSizes sizes;
  sizes.vocab = keys.size("vocab_size");
  sizes.width = keys.size("hidden_size");
  sizes.layers = keys.size("num_hidden_layers", {}, kMaxLayers);
  sizes.heads = keys.size("num_attention_heads");
  const int64_t kv_heads =
      form.kv_heads > 0 && !keys.is_null("num_key_value_heads") ? form.kv_heads : sizes.heads;
  sizes.kv_heads = keys.size_or("num_key_value_heads", kv_heads);
  const bool divided = form.head_dim == 0 || keys.is_null("head_dim");
  ASHLAR_CHECK(keys.has("head_dim") || !divided || sizes.width % sizes.heads == 0,
               "{}: hidden_size {} is not a multiple of num_attention_heads {}, and there is no "
               "head_dim",
               keys.where(), sizes.width, sizes.heads);
  sizes.head_dim = keys.size_or("head_dim", divided ? sizes.width / sizes.heads : form.head_dim);
  sizes.ffn = keys.size("intermediate_size");
  sizes.max_positions = keys.size("max_position_embeddings", form.max_positions);
  config.resize(sizes);
  config.norm_eps = keys.number(form.norm_eps_key, form.norm_eps);
  config.activation = read_activation(keys, form.activation_key, form.activation);
  config.tied_head = keys.flag("tie_word_embeddings", form.tied);
  const bool interleaved = config.rope.interleaved;
  config.rope = read_rope(keys, config, form.rope);
  config.rope.interleaved = interleaved;
  config.attention_dropout = keys.number_or("attention_dropout", 0);
  read_shared_keys(keys, config);
}

std::string write_llama(const DecoderConfig& config, const LlamaForm& form) {
  nlohmann::ordered_json keys{
      {"vocab_size", config.vocab},
      {"hidden_size", config.width},
      {"num_hidden_layers", config.layers},
      {"num_attention_heads", config.heads},
      {"num_key_value_heads", config.kv_heads},
      {"head_dim", config.head_dim},
      {"intermediate_size", config.ffn},
      {"max_position_embeddings", config.max_positions},
      {form.norm_eps_key, config.norm_eps},
      {form.activation_key, activation_name(config.activation)},
      {"attention_dropout", config.attention_dropout},
  };
  keys.update(nlohmann::ordered_json::parse(write_rope(config.rope, config.head_dim, form.rope)));
  return keys.dump();
}

void add_rules(const std::string& theirs, const std::string& ours, bool bias,
               std::vector<WeightRule>& rules) {
  rules.push_back({theirs + ".weight", {ours + ".weight"}});
  if (bias) rules.push_back({theirs + ".bias", {ours + ".bias"}});
}

void add_qkv_rules(const std::string& theirs, const std::string& ours, bool bias, int64_t groups,
                   std::vector<WeightRule>& rules) {
  for (const std::string part : {".weight", ".bias"}) {
    if (part == ".bias" && !bias) continue;
    rules.push_back(
        {.tensor = theirs + part,
         .parameters = {ours + "attn.q" + part, ours + "attn.k" + part, ours + "attn.v" + part},
         .groups = groups});
  }
}

void llama_attention_rules(const DecoderConfig& config, const std::string& theirs,
                           const std::string& ours, std::vector<WeightRule>& rules) {
  for (const std::string name : {"q", "k", "v", "o"}) {
    const bool bias = name == "o" ? config.o_bias : config.qkv_bias;
    add_rules(theirs + "self_attn." + name + "_proj", ours + "attn." + name, bias, rules);
  }
  if (config.qk_norm == QkNorm::kNone) return;
  for (const std::string name : {"q_norm", "k_norm"}) {
    add_rules(theirs + "self_attn." + name, ours + "attn." + name, false, rules);
  }
}

void llama_mlp_rules(const DecoderConfig& config, const std::string& theirs,
                     const std::string& ours, std::vector<WeightRule>& rules) {
  for (const std::string name : {"gate", "up", "down"}) {
    add_rules(theirs + "mlp." + name + "_proj", ours + "mlp." + name, config.mlp_bias, rules);
  }
}

namespace {

// Which norms stand before and behind attention and MLP, and what they are called.
void norm_rules(const DecoderConfig& config, const std::string& theirs, const std::string& ours,
                std::vector<WeightRule>& rules) {
  const bool bias = config.norm == graph::NormKind::kLayer && config.norm_bias;
  const auto add = [&](const char* name, const char* parameter) {
    add_rules(theirs + name, ours + parameter, bias, rules);
  };
  switch (config.norm_placement) {
    case NormPlacement::kInput:
    case NormPlacement::kStream:
      add("input_layernorm", "attn_norm");
      if (config.mlp_input != MlpInput::kLayerOneNorm) add("post_attention_layernorm", "mlp_norm");
      return;
    case NormPlacement::kOutput:
      add("post_attention_layernorm", "attn.post_norm");
      add("post_feedforward_layernorm", "mlp.post_norm");
      return;
    case NormPlacement::kBoth:
      add("input_layernorm", "attn_norm");
      add("post_attention_layernorm", "attn.post_norm");
      add("pre_feedforward_layernorm", "mlp_norm");
      add("post_feedforward_layernorm", "mlp.post_norm");
      return;
  }
}

}  // namespace

std::vector<WeightRule> llama_weights(const DecoderConfig& config, const LlamaForm& form) {
  std::vector<WeightRule> rules = {{"model.embed_tokens.weight", {"embed.weight"}}};
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string theirs = fmt::format("model.layers.{}.", layer);
    const std::string ours = fmt::format("layers.{}.", layer);
    norm_rules(config, theirs, ours, rules);
    form.attention(config, theirs, ours, rules);
    form.mlp(config, theirs, ours, rules);
  }
  const bool norm_bias = config.norm == graph::NormKind::kLayer && config.norm_bias;
  add_rules(form.final_norm, "final_norm", norm_bias, rules);
  if (!config.tied_head) rules.push_back({"lm_head.weight", {"head.weight"}});
  if (config.head_bias) rules.push_back({"lm_head.bias", {"head.bias"}});
  return rules;
}

namespace {

constexpr LlamaForm kForm;

DecoderConfig blank() { return {}; }  // the defaults are a LLaMA's

DecoderConfig parse(HfConfig& keys) {
  keys.ignore("pretraining_tp");  // into how many parts sums were cut
  DecoderConfig config = blank();
  parse_llama(keys, kForm, config);
  config.qkv_bias = config.o_bias = keys.flag("attention_bias", false);
  config.mlp_bias = keys.flag("mlp_bias", false);
  return config;
}

std::string write(const DecoderConfig& config) {
  auto keys = nlohmann::ordered_json::parse(write_llama(config, kForm));
  keys["attention_bias"] = config.qkv_bias;
  keys["mlp_bias"] = config.mlp_bias;
  keys["pretraining_tp"] = 1;
  return keys.dump();
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  return llama_weights(config, kForm);
}

}  // namespace

Family llama_family() {
  return {.model_type = "llama",
          .architecture = "LlamaForCausalLM",
          .prefix = "model.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank,
          .parse = parse,
          .write = write,
          .weights = weights};
}

}  // namespace ashlar::models
