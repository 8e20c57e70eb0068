// LLaMA's keys of config.json and names of tensors, for the families that have them too and differ
// in their MLP (Mixtral).
#pragma once

#include "ashlar/models/family.h"

#include <string>
#include <vector>

namespace ashlar::models {

// What keys that are left out stand for.
struct LlamaDefaults {
  double norm_eps = 1e-6;
  double rope_theta = 10000;
  int64_t kv_heads = 0;  // 0: as many as heads
  int64_t max_positions = 2048;
};
// Fills `config` with all but what the family has of its own.
void parse_llama(HfConfig& keys, const LlamaDefaults& defaults, DecoderConfig& config);

// The keys of the common part, a JSON object.
std::string write_llama(const DecoderConfig& config);

// theirs: "model.layers.3.", ours: "layers.3.".
using LayerRules = void (*)(const DecoderConfig& config, const std::string& theirs,
                            const std::string& ours, std::vector<WeightRule>& rules);
std::vector<WeightRule> llama_weights(const DecoderConfig& config, LayerRules mlp);

}  // namespace ashlar::models
