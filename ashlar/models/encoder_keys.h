// What the files of encoders have in common.
#pragma once

#include "ashlar/models/encoder_family.h"

#include <string>
#include <vector>

namespace ashlar::models {

// vocab_size, hidden_size, num_hidden_layers, num_attention_heads, head_dim, intermediate_size,
// initializer_range, dtype.
EncoderConfig read_encoder_sizes(HfConfig& keys);

// rope_theta of an object such as rope_parameters, which may be absent; no scaling is understood.
RopeConfig read_plain_rope(std::optional<HfConfig> parameters, double default_theta,
                           int64_t rotary_dim);

// A rule for theirs.weight, and one for theirs.bias where there is a bias.
void add_rules(std::vector<WeightRule>& rules, const std::string& theirs,
               const std::vector<std::string>& ours, bool bias);

}  // namespace ashlar::models
