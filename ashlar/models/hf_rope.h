// Rotary positions in config.json, to RopeConfig and back: as transformers 4 has them (rope_theta,
// rope_scaling, partial_rotary_factor) and as version 5 does (all in rope_parameters).
#pragma once

#include "ashlar/models/decoder_config.h"
#include "ashlar/models/hf_config.h"

#include <string>

namespace ashlar::models {

// What keys that are left out stand for.
struct RopeDefaults {
  double theta = 10000;
  double partial = 1;          // share of a head's channels that rotate
  bool any_partial = true;     // whether the family reads another share than that
  bool by_layer_type = false;  // rope_parameters may have an object for each type of layer
  bool yarn_is_long = false;   // "su" and "yarn" are old names of longrope (Phi 3)
};
// For the model's heads and positions.
RopeConfig read_rope(HfConfig& keys, const DecoderConfig& config, const RopeDefaults& defaults);
// From an object below that key alone (Gemma 3's for each type of layer).
RopeConfig read_rope_object(HfConfig& keys, HfConfig scaling, const DecoderConfig& config,
                            const RopeDefaults& defaults);

// rope_theta, rope_scaling and, where it must be said, partial_rotary_factor: a JSON object.
std::string write_rope(const RopeConfig& rope, int64_t head_dim, const RopeDefaults& defaults);

}  // namespace ashlar::models
