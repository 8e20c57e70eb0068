// Mixtral (Jiang et al. 2024): a LLaMA whose MLPs are mixtures of experts, two of eight a token,
// with weights that sum to 1 over the chosen ones.
#include "ashlar/models/families.h"
#include "ashlar/models/hf_keys.h"
#include "ashlar/models/llama.h"

#include <fmt/format.h>
#include <nlohmann/json.hpp>

namespace ashlar::models {
namespace {

// Our own key: whether weights of the chosen experts sum to 1.
constexpr const char* kRenormalise = "ashlar_norm_topk_prob";

void mlp_rules(const DecoderConfig& config, const std::string& theirs, const std::string& ours,
               std::vector<WeightRule>& rules) {
  const std::string moe = theirs + "block_sparse_moe.";
  rules.push_back({moe + "gate.weight", {ours + "mlp.router.weight"}});
  for (int64_t expert = 0; expert < config.mixture.experts; ++expert) {
    const auto add = [&](const char* name, const char* parameter) {
      rules.push_back({.tensor = fmt::format("{}experts.{}.{}.weight", moe, expert, name),
                       .parameters = {fmt::format("{}mlp.experts.{}.weight", ours, parameter)},
                       .index = expert});
    };
    add("w1", "gate");
    add("w2", "down");
    add("w3", "up");
  }
}

constexpr LlamaForm kForm{.norm_eps = 1e-5,
                          .kv_heads = 8,
                          .max_positions = 131072,
                          .rope = {.theta = 1e6, .any_partial = false},
                          .mlp = mlp_rules};

DecoderConfig blank() {
  DecoderConfig config;
  config.norm_eps = 1e-5;
  config.rope.theta = 1e6;
  config.mixture.experts = 8;
  config.mixture.balance = true;
  return config;
}

DecoderConfig parse(HfConfig& keys) {
  DecoderConfig config = blank();
  parse_llama(keys, kForm, config);
  config.pattern = {{.window = read_window(keys, "sliding_window", 0)}};
  MixtureConfig& mixture = config.mixture;
  keys.alias("num_local_experts", "num_experts");
  mixture.experts = keys.size("num_local_experts", 8);
  mixture.per_token = keys.size("num_experts_per_tok", 2);
  // transformers adds the loss where it returns the router's logits.
  mixture.balance = keys.flag("output_router_logits", false);
  mixture.jitter = keys.number_or("router_jitter_noise", 0);
  mixture.coefficient = keys.number_or("router_aux_loss_coef", 0.001);
  // What Mixtral always does, and transformers with every file; ours may be trained otherwise.
  keys.ignore("norm_topk_prob");
  mixture.renormalise = keys.flag(kRenormalise, true);
  return config;
}

std::string write(const DecoderConfig& config) {
  auto keys = nlohmann::ordered_json::parse(write_llama(config, kForm));
  const MixtureConfig& mixture = config.mixture;
  const int64_t window = config.layer(0).window;
  keys["sliding_window"] = nullptr;
  if (window > 0) keys["sliding_window"] = window;
  keys["num_local_experts"] = mixture.experts;
  keys["num_experts_per_tok"] = mixture.per_token;
  keys["output_router_logits"] = mixture.balance;
  keys["router_aux_loss_coef"] = mixture.coefficient;
  keys["router_jitter_noise"] = mixture.jitter;
  if (!mixture.renormalise) keys[kRenormalise] = false;
  return keys.dump();
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  return llama_weights(config, kForm);
}

}  // namespace

Family mixtral_family() {
  return {.model_type = "mixtral",
          .architecture = "MixtralForCausalLM",
          .prefix = "model.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank,
          .parse = parse,
          .write = write,
          .weights = weights};
}

}  // namespace ashlar::models
