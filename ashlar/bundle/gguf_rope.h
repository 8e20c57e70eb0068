// Rotary positions in GGUF files: keys of the metadata, and tensors with a factor for each
// frequency (Llama 3's stretch, LongRoPE's two sets).
#pragma once

#include "ashlar/bundle/gguf_families.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::bundle {

// Keys and tensors that this reads.
std::span<const std::string_view> gguf_rope_keys();
std::vector<std::string> gguf_rope_tensor_names();

struct RopeSizes {
  int64_t head_dim, context;  // channels of a head, positions of the model
};
// rope_theta, rope_scaling and, of families of which a share of a head rotates, how large it is.
ConfigKeys read_gguf_rope(const GgufFacts& facts, const GgufFamily& family,
                          const std::string& prefix, const RopeSizes& sizes);

// Throws Error for what the architecture cannot say.
void write_gguf_rope(const models::DecoderConfig& config, const GgufFamily& family,
                     const std::string& prefix, formats::GgufMetadata& metadata);
// The factors to be written as tensors.
std::map<std::string, std::vector<float>> gguf_rope_tensors(const models::DecoderConfig& config);

}  // namespace ashlar::bundle
