// Phi-3 (Abdin et al. 2024): a LLaMA whose checkpoints hold q, k and v in one tensor, gate and up
// in another; attention may see a window, part of a head may rotate.
#include "ashlar/models/families.h"
#include "ashlar/models/hf_keys.h"
#include "ashlar/models/llama.h"

#include <nlohmann/json.hpp>

namespace ashlar::models {
namespace {

void attention_rules(const DecoderConfig&, const std::string& theirs, const std::string& ours,
                     std::vector<WeightRule>& rules) {
  rules.push_back({theirs + "self_attn.qkv_proj.weight",
                   {ours + "attn.q.weight", ours + "attn.k.weight", ours + "attn.v.weight"}});
  add_rules(theirs + "self_attn.o_proj", ours + "attn.o", false, rules);
}

void mlp_rules(const DecoderConfig&, const std::string& theirs, const std::string& ours,
               std::vector<WeightRule>& rules) {
  rules.push_back(
      {theirs + "mlp.gate_up_proj.weight", {ours + "mlp.gate.weight", ours + "mlp.up.weight"}});
  add_rules(theirs + "mlp.down_proj", ours + "mlp.down", false, rules);
}

constexpr LlamaForm kForm{.norm_eps = 1e-5,
                          .max_positions = 4096,
                          .rope = {.original = 4096, .yarn_is_long = true},
                          .attention = attention_rules,
                          .mlp = mlp_rules};

DecoderConfig blank() {
  DecoderConfig config;
  config.norm_eps = 1e-5;
  return config;
}

DecoderConfig parse(HfConfig& keys) {
  keys.ignore("embd_pdrop original_max_position_embeddings");  // the first is of no effect
  keys.only("full_attn_mod", 1.0), keys.only("interpolate_factor", 1.0);  // of Phi 4 mini
  DecoderConfig config = blank();
  parse_llama(keys, kForm, config);
  config.pattern = {{.window = read_window(keys, "sliding_window", 0)}};
  config.residual_dropout = keys.number_or("resid_pdrop", 0);
  return config;
}

std::string write(const DecoderConfig& config) {
  auto keys = nlohmann::ordered_json::parse(write_llama(config, kForm));
  const int64_t window = config.layer(0).window;
  keys["sliding_window"] = nullptr;
  if (window > 0) keys["sliding_window"] = window;
  keys["resid_pdrop"] = config.residual_dropout;
  keys["embd_pdrop"] = 0.0;
  if (config.rope.scaling == RopeScaling::kLong) {
    keys["original_max_position_embeddings"] = config.rope.original_max_positions;
  }
  return keys.dump();
}

std::vector<WeightRule> weights(const DecoderConfig& config) {
  return llama_weights(config, kForm);
}

}  // namespace

Family phi3_family() {
  return {.model_type = "phi3",
          .architecture = "Phi3ForCausalLM",
          .prefix = "model.",
          .buffers = {"rotary_emb.inv_freq"},
          .blank = blank,
          .parse = parse,
          .write = write,
          .weights = weights};
}

}  // namespace ashlar::models
