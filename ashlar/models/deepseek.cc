// DeepSeek-V2 (2024) and V3 (Liu et al. 2024): latent attention, and behind the first layers
// mixtures of many small experts beside some that all tokens share. V2 routes by a softmax, V3 by
// sigmoids with a correction that evens out the experts' load; both may choose groups of experts
// first.
#include "ashlar/base/error.h"
#include "ashlar/base/shown_text.h"
#include "ashlar/models/families.h"
#include "ashlar/models/hf_keys.h"
#include "ashlar/models/llama.h"
#include "ashlar/models/max_layers.h"
#include "ashlar/models/mixture_rules.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace ashlar::models {
namespace {

using nlohmann::ordered_json;

void attention_rules(const DecoderConfig& config, const std::string& theirs,
                     const std::string& ours, std::vector<WeightRule>& rules) {
  const std::string from = theirs + "self_attn.", to = ours + "attn.";
  const bool bias = config.qkv_bias;
  if (config.latent.query_rank > 0) {
    add_rules(from + "q_a_proj", to + "q_a", bias, rules);
    add_rules(from + "q_a_layernorm", to + "q_a_norm", false, rules);
    add_rules(from + "q_b_proj", to + "q_b", false, rules);
  } else {
    add_rules(from + "q_proj", to + "q", false, rules);
  }
  // The latent's rows, then those of the shared key.
  rules.push_back({from + "kv_a_proj_with_mqa.weight", {to + "kv_a.weight", to + "k_rope.weight"}});
  if (bias) {
    rules.push_back({from + "kv_a_proj_with_mqa.bias", {to + "kv_a.bias", to + "k_rope.bias"}});
  }
  add_rules(from + "kv_a_layernorm", to + "kv_a_norm", false, rules);
  add_rules(from + "kv_b_proj", to + "kv_b", false, rules);
  add_rules(from + "o_proj", to + "o", config.o_bias, rules);
}

constexpr LlamaForm kForm{.attention = attention_rules, .mlp = no_mlp_rules};

DecoderConfig blank() {
  DecoderConfig config;
  config.rope.interleaved = true;
  config.latent.enabled = true;
  config.mixture.shared_experts = 1;
  config.mixture.dense_first = 1;
  return config;
}

// A name that has to be one of two.
bool is_second(HfConfig& keys, const std::string& key, const std::string& first,
               const std::string& second) {
  const std::string found = keys.text(key, first);
  ASHLAR_CHECK(found == first || (found == second && !second.empty()),
               "{}: {} {} is not supported (only {}{})", keys.where(), key, shown_text(found),
               first, second.empty() ? "" : ", " + second);
  return found != first;
}

void read_latent(HfConfig& keys, DecoderConfig& config) {
  LatentConfig& latent = config.latent;
  latent.rank = keys.size("kv_lora_rank", 512);
  latent.query_rank = keys.is_null("q_lora_rank") ? 0 : keys.size("q_lora_rank", 1536);
  latent.own = keys.size("qk_nope_head_dim", 128);
  latent.shared = keys.size("qk_rope_head_dim", 64);
  latent.value = keys.size("v_head_dim", 128);
  config.head_dim = latent.key();
  ASHLAR_CHECK(config.kv_heads == config.heads,
               "{}: num_key_value_heads {} is not num_attention_heads {}: latent attention has as "
               "many keys as queries",
               keys.where(), config.kv_heads, config.heads);
  keys.only("qk_head_dim", static_cast<double>(latent.key()));
}

// With rope_type yarn, scores are multiplied by what mscale_all_dim makes of the factor, squared.
double yarn_scale(double factor, double mscale) {
  const double scale = factor <= 1 ? 1 : 0.1 * mscale * std::log(factor) + 1;
  return scale * scale;
}

void set_score_scale(DecoderConfig& config) {
  const double usual = 1 / std::sqrt(static_cast<double>(config.latent.key()));
  const double all =
      config.rope.scaling == RopeScaling::kDefault ? 0 : config.latent.mscale_all_dim;
  config.attention_scale = all == 0 ? 0 : usual * yarn_scale(config.rope.factor, all);
}

void read_positions(HfConfig& keys, bool interleaved, DecoderConfig& config) {
  DecoderConfig rotary = config;  // whose heads are the channels that rotate
  rotary.head_dim = config.latent.shared;
  config.rope = read_rope(keys, rotary, kForm.rope);
  config.rope.interleaved = interleaved;
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    if (auto scaling = keys.object(key)) {
      config.latent.mscale = scaling->number("mscale", 0);
      config.latent.mscale_all_dim = scaling->number("mscale_all_dim", 0);
      break;
    }
  }
  set_score_scale(config);
}

// What both versions read alike.
DecoderConfig parse_common(HfConfig& keys, bool interleaved) {
  keys.only("moe_layer_freq", 1.0);
  keys.ignore("pretraining_tp");
  // transformers has none of these losses, nor the layers that predict further tokens.
  keys.ignore(
      "aux_loss_alpha seq_aux ep_size num_nextn_predict_layers num_mtp_layers "
      "output_router_logits head_dim");
  DecoderConfig config = blank();
  // The head size is what the latent's keys say.
  DecoderSizes sizes;
  sizes.vocab = keys.size("vocab_size");
  sizes.width = keys.size("hidden_size");
  sizes.layers = keys.size("num_hidden_layers", {}, kMaxLayers);
  sizes.heads = keys.size("num_attention_heads");
  sizes.kv_heads = keys.size_or("num_key_value_heads", sizes.heads);
  sizes.ffn = keys.size("intermediate_size");
  sizes.max_positions = keys.size("max_position_embeddings", kForm.max_positions);
  sizes.head_dim = 1;
  config.resize(sizes);
  read_latent(keys, config);
  config.norm_eps = keys.number("rms_norm_eps", 1e-6);
  config.activation = read_activation(keys, "hidden_act", "silu");
  config.tied_head = keys.flag("tie_word_embeddings", false);
  config.attention_dropout = keys.number_or("attention_dropout", 0);
  config.qkv_bias = config.o_bias = keys.flag("attention_bias", false);
  read_positions(keys, interleaved, config);
  read_shared_keys(keys, config);
  return config;
}

void read_experts(HfConfig& keys, const MixtureConfig& defaults, DecoderConfig& config) {
  MixtureConfig& mixture = config.mixture;
  mixture.experts = keys.size("n_routed_experts", defaults.experts);
  mixture.per_token = defaults.per_token > 0 ? keys.size("num_experts_per_tok", defaults.per_token)
                                             : keys.size("num_experts_per_tok");
  mixture.ffn = keys.size("moe_intermediate_size", defaults.ffn);
  mixture.shared_experts = keys.size("n_shared_experts", defaults.shared_experts);
  mixture.scale = keys.number("routed_scaling_factor", defaults.scale);
  const double dense = keys.number("first_k_dense_replace", double(defaults.dense_first));
  ASHLAR_CHECK(dense >= 0 && std::floor(dense) == dense,
               "{}: first_k_dense_replace {} is no number of layers", keys.where(), dense);
  mixture.dense_first = static_cast<int64_t>(std::min(dense, double(config.layers)));
}

void read_groups(HfConfig& keys, int64_t best, MixtureConfig& mixture) {
  mixture.groups = keys.size_or("n_group", mixture.groups);
  mixture.top_groups = keys.size_or("topk_group", mixture.top_groups);
  mixture.group_best = best;
}

ordered_json write_common(const DecoderConfig& config) {
  const LatentConfig& latent = config.latent;
  const MixtureConfig& mixture = config.mixture;
  ordered_json keys{
      {"vocab_size", config.vocab},
      {"hidden_size", config.width},
      {"num_hidden_layers", config.layers},
      {"num_attention_heads", config.heads},
      {"num_key_value_heads", config.kv_heads},
      {"intermediate_size", config.ffn},
      {"moe_intermediate_size", config.expert_ffn()},
      {"kv_lora_rank", latent.rank},
      {"q_lora_rank", nullptr},
      {"qk_nope_head_dim", latent.own},
      {"qk_rope_head_dim", latent.shared},
      {"v_head_dim", latent.value},
      {"n_routed_experts", mixture.experts},
      {"num_experts_per_tok", mixture.per_token},
      {"n_shared_experts", mixture.shared_experts},
      {"routed_scaling_factor", mixture.scale},
      {"first_k_dense_replace", mixture.dense_first},
      {"moe_layer_freq", 1},
      {"max_position_embeddings", config.max_positions},
      {"rms_norm_eps", config.norm_eps},
      {"hidden_act", activation_name(config.activation)},
      {"attention_bias", config.qkv_bias},
      {"attention_dropout", config.attention_dropout},
  };
  if (latent.query_rank > 0) keys["q_lora_rank"] = latent.query_rank;
  auto rope = ordered_json::parse(write_rope(config.rope, latent.shared, kForm.rope));
  if (rope["rope_scaling"].is_object() && latent.mscale_all_dim != 0) {
    rope["rope_scaling"]["mscale"] = latent.mscale;
    rope["rope_scaling"]["mscale_all_dim"] = latent.mscale_all_dim;
  }
  keys.update(rope);
  return keys;
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  std::vector<WeightRule> rules = llama_weights(config, kForm);
  add_mixture_rules(config, "mlp.shared_experts", rules);
  return rules;
}

// ---------------------------------------------------------------- V2
DecoderConfig blank2() {
  DecoderConfig config = blank();
  config.mixture.experts = 64;
  config.mixture.per_token = 6;
  config.mixture.renormalise = false;
  return config;
}

DecoderConfig parse2(HfConfig& keys) {
  is_second(keys, "scoring_func", "softmax", "");
  keys.alias("n_routed_experts", "num_experts");
  keys.ignore("norm_topk_prob");  // transformers' V2 never divides by the sum
  DecoderConfig config = parse_common(keys, true);
  MixtureConfig& mixture = config.mixture;
  mixture = blank2().mixture;
  MixtureConfig defaults = mixture;
  defaults.per_token = 0;  // the file has to say it
  defaults.ffn = 1407;
  defaults.shared_experts = 2;
  defaults.dense_first = 0;
  read_experts(keys, defaults, config);
  config.mlp_bias = keys.flag("mlp_bias", false);
  if (is_second(keys, "topk_method", "greedy", "group_limited_greedy")) {
    read_groups(keys, 1, mixture);
  } else {
    keys.ignore("n_group topk_group");
  }
  return config;
}

std::string write2(const DecoderConfig& config) {
  ordered_json keys = write_common(config);
  const MixtureConfig& mixture = config.mixture;
  keys["topk_method"] = mixture.groups > 1 ? "group_limited_greedy" : "greedy";
  keys["n_group"] = mixture.groups;
  keys["topk_group"] = mixture.top_groups;
  keys["scoring_func"] = "softmax";
  keys["norm_topk_prob"] = false;
  keys["mlp_bias"] = config.mlp_bias;
  return keys.dump();
}

// ---------------------------------------------------------------- V3
DecoderConfig blank3() {
  DecoderConfig config = blank();
  config.mixture.experts = 64;
  config.mixture.per_token = 8;
  config.mixture.score = kernels::RouteScore::kSigmoid;
  config.mixture.correction = true;
  config.mixture.scale = 2.5;
  config.mixture.group_best = 2;
  return config;
}

DecoderConfig parse3(HfConfig& keys) {
  is_second(keys, "scoring_func", "sigmoid", "");
  is_second(keys, "topk_method", "noaux_tc", "");
  keys.alias("n_routed_experts", "num_local_experts");
  DecoderConfig config = parse_common(keys, keys.flag("rope_interleave", true));
  MixtureConfig& mixture = config.mixture;
  mixture = blank3().mixture;
  MixtureConfig defaults = mixture;
  defaults.experts = 256;
  defaults.per_token = 8;
  defaults.ffn = 2048;
  defaults.dense_first = 3;
  read_experts(keys, defaults, config);
  mixture.groups = 8;
  mixture.top_groups = 4;
  read_groups(keys, 2, mixture);
  mixture.renormalise = keys.flag("norm_topk_prob", true);
  return config;
}

std::string write3(const DecoderConfig& config) {
  ordered_json keys = write_common(config);
  const MixtureConfig& mixture = config.mixture;
  keys["topk_method"] = "noaux_tc";
  keys["scoring_func"] = "sigmoid";
  keys["n_group"] = mixture.groups;
  keys["topk_group"] = mixture.top_groups;
  keys["norm_topk_prob"] = mixture.renormalise;
  keys["rope_interleave"] = config.rope.interleaved;
  return keys.dump();
}

}  // namespace

Family deepseek_v2_family() {
  return {.model_type = "deepseek_v2",
          .architecture = "DeepseekV2ForCausalLM",
          .prefix = "model.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank2,
          .parse = parse2,
          .write = write2,
          .weights = weights};
}

Family deepseek_v3_family() {
  return {.model_type = "deepseek_v3",
          .architecture = "DeepseekV3ForCausalLM",
          .prefix = "model.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank3,
          .parse = parse3,
          .write = write3,
          .weights = weights};
}

}  // namespace ashlar::models
