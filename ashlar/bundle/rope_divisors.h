// Llama 3's stretch of rotary frequencies as GGUF files hold it: the tensor rope_freqs.weight, what
// each frequency is divided by, instead of the four numbers of config.json.
#pragma once

#include "ashlar/models/decoder_config.h"

#include <optional>
#include <span>
#include <vector>

namespace ashlar::bundle {

std::vector<float> rope_divisors(const models::RopeConfig& rope);

// A config with these divisors, to a ten-thousandth; nullopt where there is none. Of the configs
// that compute the same the one with low_freq_factor 1.
std::optional<models::RopeConfig> rope_of_divisors(std::span<const float> divisors, double theta);

}  // namespace ashlar::bundle
