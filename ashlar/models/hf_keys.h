// What the families' config.json have in common: names of activations and dtypes, token ids, rotary
// scaling.
#pragma once

#include "ashlar/models/decoder_config.h"
#include "ashlar/models/hf_config.h"

#include <string>

namespace ashlar::models {

kernels::Activation read_activation(HfConfig& keys, const std::string& key,
                                    const std::string& fallback);
std::string activation_name(kernels::Activation activation);

// dtype (torch_dtype in older files), bos_token_id, eos_token_id, initializer_range.
void read_shared_keys(HfConfig& keys, DecoderConfig& config);
std::string dtype_name(DType dtype);  // "float32"

// rope_theta with rope_scaling, or both in rope_parameters as newer files have it.
RopeConfig read_rope(HfConfig& keys, int64_t rotary_dim, double default_theta = 10000);

}  // namespace ashlar::models
