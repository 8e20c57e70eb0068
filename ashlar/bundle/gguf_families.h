// How llama.cpp's architectures correspond to our families: one row an architecture, read in both
// directions. Keys of the metadata against keys of config.json, names of tensors against names of
// tensors.
#pragma once

#include "ashlar/formats/gguf_metadata.h"

#include <span>
#include <string>
#include <string_view>

namespace ashlar::bundle {

// "llama.block_count" and "num_hidden_layers".
struct GgufKey {
  enum class Kind { kInteger, kReal, kFlag };
  std::string_view suffix;  // behind "ARCHITECTURE."
  std::string_view config;  // key of config.json
  Kind kind = Kind::kInteger;
};

struct GgufFamily {
  std::string_view architecture;  // of general.architecture
  std::string_view model_type;    // of config.json
  std::span<const GgufKey> keys;
  bool paired_rotary = false;  // query and key rows lie in pairs of channels
  float norm_added = 0;        // norm weights hold that much more than ours
  bool experts = false;        // of the rows of an architecture: the one for expert_count > 0
};

std::span<const GgufFamily> gguf_families();
// Throws Error that lists the known architectures.
const GgufFamily& gguf_family(const formats::GgufMetadata& metadata);
// Throws Error for a family that llama.cpp lacks (or we cannot write).
const GgufFamily& gguf_family(const std::string& model_type);

// "blk.3.attn_q.weight" for "model.layers.3.self_attn.q_proj.weight"; experts lose their number.
// Throws Error for a name without counterpart.
std::string gguf_tensor_name(std::string_view model_type, std::string_view tensor);

}  // namespace ashlar::bundle
