// The table rotary positions are read from: row p holds cos(p f_i), then sin(p f_i), for the
// frequencies f_i = theta^(-2i/d) after the config's scaling. Computed in double.
#pragma once

#include "ashlar/models/decoder_config.h"

#include <vector>

namespace ashlar::models {

std::vector<double> rope_frequencies(const RopeConfig& rope);  // [rotary_dim / 2]

// f32 [positions, rotary_dim].
std::vector<float> rope_table(const RopeConfig& rope, int64_t positions);

}  // namespace ashlar::models
