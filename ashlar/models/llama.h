// LLaMA's keys of config.json and names of tensors, for the families that are laid out as it is and
// say how they differ.
#pragma once

#include "ashlar/models/family.h"
#include "ashlar/models/hf_rope.h"

#include <string>
#include <vector>

namespace ashlar::models {

// Rules of one layer. theirs: "model.layers.3.", ours: "layers.3.".
using LayerRules = void (*)(const DecoderConfig& config, const std::string& theirs,
                            const std::string& ours, std::vector<WeightRule>& rules);

// q_proj, k_proj, v_proj, their norms, o_proj.
void llama_attention_rules(const DecoderConfig& config, const std::string& theirs,
                           const std::string& ours, std::vector<WeightRule>& rules);
// gate_proj, up_proj, down_proj.
void llama_mlp_rules(const DecoderConfig& config, const std::string& theirs,
                     const std::string& ours, std::vector<WeightRule>& rules);

struct LlamaForm {
  // Names of keys, and what those that are left out stand for.
  const char* norm_eps_key = "rms_norm_eps";
  double norm_eps = 1e-6;
  const char* activation_key = "hidden_act";
  const char* activation = "silu";
  int64_t kv_heads = 0;  // 0: as many as heads
  int64_t head_dim = 0;  // 0: hidden_size / heads
  int64_t max_positions = 2048;
  bool tied = false;
  RopeDefaults rope = {.any_partial = false};
  // Names of tensors.
  LayerRules attention = llama_attention_rules;
  LayerRules mlp = llama_mlp_rules;
  const char* final_norm = "model.norm";
};

// Fills `config` with all but what the family has of its own.
void parse_llama(HfConfig& keys, const LlamaForm& form, DecoderConfig& config);
// The keys of that, a JSON object.
std::string write_llama(const DecoderConfig& config, const LlamaForm& form);
std::vector<WeightRule> llama_weights(const DecoderConfig& config, const LlamaForm& form);

// The rules of theirs + ".weight" and, with bias, ".bias".
void add_rules(const std::string& theirs, const std::string& ours, bool bias,
               std::vector<WeightRule>& rules);
// q, k and v of each of `groups` heads in one tensor.
void add_qkv_rules(const std::string& theirs, const std::string& ours, bool bias, int64_t groups,
                   std::vector<WeightRule>& rules);

}  // namespace ashlar::models
