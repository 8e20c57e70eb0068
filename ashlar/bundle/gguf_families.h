// How llama.cpp's architectures correspond to our families: one row a family, read in both
// directions. Keys of the metadata against keys of config.json, and what an architecture computes
// that it has no keys for. Names of tensors: gguf_names.h; rotary positions: gguf_rope.h.
#pragma once

#include "ashlar/bundle/gguf_facts.h"
#include "ashlar/models/decoder_config.h"

#include <cstdint>
#include <span>
#include <string>
#include <string_view>

namespace ashlar::bundle {

// The names that a family's config.json has for what every architecture's metadata says; "" where
// it has none.
struct GgufSizes {
  std::string_view context = "max_position_embeddings";
  std::string_view width = "hidden_size";
  std::string_view layers = "num_hidden_layers";
  std::string_view ffn = "intermediate_size";
  std::string_view heads = "num_attention_heads";
  std::string_view kv_heads = "num_key_value_heads";
  std::string_view head_dim = "head_dim";
  std::string_view norm_eps = "rms_norm_eps";
};

// "expert_count" behind "ARCHITECTURE." and "num_local_experts".
struct GgufKey {
  enum class Kind : uint8_t { kInteger, kReal, kFlag };
  std::string_view suffix;
  std::string_view config;
  Kind kind = Kind::kInteger;
  std::string_view absent = "";  // what a file without the key means, as JSON; "": our default
};

// A key of config.json that holds where the file has a tensor.
struct GgufPresence {
  std::string_view tensor, config;
  bool present = true;  // the key's value where the tensor is there
};

// How windows of layers stand in files of a family.
struct GgufWindows {
  bool any = false;
  bool switched = false;  // config.json has use_sliding_window
  bool typed = false;     // it has layer_types
  int64_t period = 0;  // without a pattern in the file each period's last layer sees all; 0: none
  int64_t absent = 0;  // the window where the file has no such key
  bool honoured = false;  // llama.cpp computes them
};

struct GgufFamily {
  std::string_view architecture;  // of general.architecture
  std::string_view model_type;    // of config.json
  GgufSizes sizes{};
  std::span<const GgufKey> keys{};
  std::span<const GgufPresence> presences{};
  std::span<const std::string_view> others{};  // keys that `read` reads, or that change nothing
  // Of several rows of an architecture the first that matches a file is its family.
  bool (*matches)(const formats::GgufMetadata& metadata) = nullptr;
  GgufWindows windows{};

  bool paired_rotary = false;   // query and key rows lie in pairs of channels
  bool partial_rotary = false;  // a share of a head may rotate
  bool llama3_rope = false;     // reads rope_freqs.weight
  bool long_rope = false;       // reads rope_factors_long.weight and _short
  bool merged_qkv = false;      // in one tensor
  bool merged_gate = false;     // gate and up in one tensor
  bool square = false;          // heads have width / heads channels
  bool head_required = false;   // a tied head is written again
  bool head_tied = false;       // there is no other
  float norm_added = 0;         // norm weights hold that much more than ours

  // What no table says: further keys of config.json, and of the metadata.
  ConfigKeys (*read)(const GgufFacts& facts, const std::string& prefix) = nullptr;
  void (*write)(const models::DecoderConfig& config, const std::string& prefix,
                formats::GgufMetadata& metadata) = nullptr;
};

std::span<const GgufFamily> gguf_families();
// Throws Error that lists the known architectures.
const GgufFamily& gguf_family(const formats::GgufMetadata& metadata);
// Throws Error for a family that llama.cpp lacks.
const GgufFamily& gguf_family(const std::string& model_type);

// "attention.layer_norm_rms_epsilon" or, of layer norms, the other.
std::string gguf_norm_eps_key(const GgufFamily& family);

}  // namespace ashlar::bundle
