// Names of tensors that the mixtures of experts since Qwen1.5-MoE have in common: mlp.gate,
// mlp.experts.N.gate_proj and so on, plain MLPs in layers without experts.
#pragma once

#include "ashlar/models/family.h"

#include <string>
#include <vector>

namespace ashlar::models {

// Adds those of all layers. shared: "mlp.shared_expert", of models that have one.
void add_mixture_rules(const DecoderConfig& config, const std::string& shared,
                       std::vector<WeightRule>& rules);

// For families that add them after the other rules of their layers.
void no_mlp_rules(const DecoderConfig& config, const std::string& theirs, const std::string& ours,
                  std::vector<WeightRule>& rules);

}  // namespace ashlar::models
