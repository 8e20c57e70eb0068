// The table rotary positions are read from: row p holds cos(p f_i), then sin(p f_i), for the
// frequencies f_i = theta^(-2i/d) after the config's scaling, times its attention factor. Computed
// in double.
#pragma once

#include "ashlar/models/decoder_config.h"

#include <vector>

namespace ashlar::models {

// [rotary_dim / 2]; LongRoPE has others for sequences beyond its original positions.
std::vector<double> rope_frequencies(const RopeConfig& rope, bool beyond = false);

// Whether sequences of up to `positions` tokens need both kinds.
bool has_long_rows(const RopeConfig& rope, int64_t positions);

// f32 [positions, rotary_dim]; with long rows, those of long sequences behind the others, as many
// again.
std::vector<float> rope_table(const RopeConfig& rope, int64_t positions);

}  // namespace ashlar::models
