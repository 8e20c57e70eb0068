// What the families' config.json have in common: names of activations and dtypes, token ids,
// windows of layers.
#pragma once

#include "ashlar/models/decoder_config.h"
#include "ashlar/models/hf_config.h"

#include <functional>
#include <string>
#include <vector>

namespace ashlar::models {

kernels::Activation read_activation(HfConfig& keys, const std::string& key,
                                    const std::string& fallback);
std::string activation_name(kernels::Activation activation);

// dtype (torch_dtype in older files), bos_token_id, eos_token_id, initializer_range.
void read_shared_keys(HfConfig& keys, DecoderConfig& config);
std::string dtype_name(DType dtype);  // "float32"

// The window of `key`, 0 where it is null; `fallback` where the file has no such key.
int64_t read_window(HfConfig& keys, const std::string& key, int64_t fallback);
// Gives the layers that layer_types calls "sliding_attention" the window, or those that `slides`
// says where the file has no such key.
void read_layer_types(HfConfig& keys, DecoderConfig& config, int64_t window,
                      const std::function<bool(int64_t layer)>& slides);
// As layer_types has it.
std::vector<std::string> layer_types(const DecoderConfig& config);

}  // namespace ashlar::models
