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
  bool by_layer_type = false;  // rope_parameters has an object for each type of layer
  int64_t original = 0;  // context of the first training, whatever the scaling says; 0: as it says
  bool yarn_is_long = false;  // "su" and "yarn" are old names of longrope (Phi 3)
};
// For the model's heads and positions.
RopeConfig read_rope(HfConfig& keys, const DecoderConfig& config, const RopeDefaults& defaults);
// Of layers of one type: from rope_parameters.TYPE, or where rope_scaling is theirs from that.
enum class OldScaling : uint8_t { kTheirs, kOfOthers };
RopeConfig read_layer_rope(HfConfig& keys, const std::string& type, const DecoderConfig& config,
                           const RopeDefaults& defaults, OldScaling old = OldScaling::kTheirs);

// What version 5 has for one type of layer: rope_type, its parameters and rope_theta.
std::string write_rope_object(const RopeConfig& rope);

// rope_theta, rope_scaling and, where it must be said, partial_rotary_factor: a JSON object.
std::string write_rope(const RopeConfig& rope, int64_t head_dim, const RopeDefaults& defaults);

}  // namespace ashlar::models
