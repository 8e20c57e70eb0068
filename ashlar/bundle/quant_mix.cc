#include "ashlar/bundle/quant_mix.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <charconv>

namespace ashlar::bundle {
namespace {

constexpr QuantMix kMixes[] = {
    {"f32", 0, DType::kF32},     {"f16", 1, DType::kF16},     {"bf16", 32, DType::kBF16},
    {"q8_0", 7, DType::kQ8_0},   {"q4_0", 2, DType::kQ4_0},   {"q4_1", 3, DType::kQ4_1},
    {"q5_0", 8, DType::kQ5_0},   {"q5_1", 9, DType::kQ5_1},   {"iq4_nl", 25, DType::kIQ4NL},
    {"q2_k", 10, DType::kQ2K},   {"q3_k_s", 11, DType::kQ3K}, {"q3_k_m", 12, DType::kQ3K},
    {"q3_k_l", 13, DType::kQ3K}, {"q4_k_s", 14, DType::kQ4K}, {"q4_k_m", 15, DType::kQ4K},
    {"q5_k_s", 16, DType::kQ5K}, {"q5_k_m", 17, DType::kQ5K}, {"q6_k", 18, DType::kQ6K},
};

enum FileType {
  kQ2K = 10,
  kQ3KM = 12,
  kQ3KL = 13,
  kQ4KS = 14,
  kQ4KM = 15,
  kQ5KM = 17,
  kIQ4NL = 25
};

int64_t layer_of(std::string_view tensor) {
  constexpr std::string_view kPrefix = "blk.";
  int64_t layer = 0;
  if (tensor.starts_with(kPrefix)) {
    std::from_chars(tensor.data() + kPrefix.size(), tensor.data() + tensor.size(), layer);
  }
  return layer;
}

// The first and last eighth of the layers, and every third between.
bool has_more_bits(int64_t layer, int64_t layers) {
  return layer < layers / 8 || layer >= 7 * layers / 8 || (layer - layers / 8) % 3 == 2;
}

bool stays_f32(std::string_view tensor, const Shape& shape) {
  return shape.rank() < 2 || !tensor.ends_with(".weight") || tensor.ends_with("_norm.weight") ||
         tensor.find("ffn_gate_inp") != std::string_view::npos ||
         tensor == "position_embd.weight" || tensor == "token_types.weight";
}

DType value_type(int mix, DType type, int64_t layer, const models::DecoderConfig& config) {
  const bool grouped = config.heads / config.kv_heads >= 4;
  if (config.mixture.experts == 8) return DType::kQ8_0;
  switch (mix) {
    case kQ2K:
      return grouped ? DType::kQ4K : DType::kQ3K;
    case kQ3KM:
      return layer < 2 ? DType::kQ5K : DType::kQ4K;
    case kQ3KL:
      return DType::kQ5K;
    case kIQ4NL:
      return grouped ? DType::kQ5K : type;
    case kQ4KS:
      return layer < 4 ? DType::kQ5K : type;
    case kQ4KM:
    case kQ5KM:
      return has_more_bits(layer, config.layers) ? DType::kQ6K : type;
    default:
      return type;
  }
}

bool is_falcon(const models::DecoderConfig& config) { return config.family == "falcon"; }

DType falcon_down_type(int mix, DType type, int64_t layer, int64_t layers) {
  const bool early = layer < layers / 16, more = has_more_bits(layer, layers);
  switch (mix) {
    case kQ3KM:
      return early ? DType::kQ5K : more ? DType::kQ4K : type;
    case kQ3KL:
      return DType::kQ4K;
    case kQ4KM:
      return early ? DType::kQ6K : more ? DType::kQ5K : type;
    default:
      return type;
  }
}

DType down_type(int mix, DType type, int64_t layer, const models::DecoderConfig& config) {
  const int64_t layers = config.layers;
  if (is_falcon(config) && mix >= kQ3KM && mix <= kQ4KM) {
    return falcon_down_type(mix, type, layer, layers);
  }
  switch (mix) {
    case kQ2K:
      return DType::kQ3K;
    case kQ3KM:
      return layer < layers / 16 ? DType::kQ5K : DType::kQ4K;
    case kQ3KL:
      return DType::kQ5K;
    case kIQ4NL:
    case kQ4KS:
      return layer < layers / 8 ? DType::kQ5K : type;
    case kQ4KM:
    case kQ5KM:
      return has_more_bits(layer, layers) ? DType::kQ6K : type;
    default:
      return type;
  }
}

DType output_type(int mix, DType type, const models::DecoderConfig& config) {
  if (is_falcon(config)) return mix == kQ3KL ? DType::kQ4K : type;
  if (config.mixture.experts == 8) {
    const bool five = (mix >= kQ2K && mix <= kQ4KM && mix != kQ3KL) || mix == kIQ4NL;
    return five ? DType::kQ5K : type;
  }
  switch (mix) {
    case kQ2K:
      return DType::kQ3K;
    case kQ3KM:
      return DType::kQ4K;
    case kQ3KL:
      return DType::kQ5K;
    default:
      return type;
  }
}

// The type of a tensor by what it is for.
DType wanted_type(const QuantMix& mix, std::string_view tensor, const Shape& shape,
                  const models::DecoderConfig& config) {
  const auto is = [&](std::string_view name) {
    return tensor.find(name) != std::string_view::npos;
  };
  const int64_t layer = layer_of(tensor);
  if (tensor == "output.weight" || (config.tied_head && tensor == "token_embd.weight")) {
    const bool fits = shape[shape.rank() - 1] % block_elements(mix.type) == 0;
    return !fits || is_falcon(config) || mix.type == DType::kQ8_0 ? DType::kQ8_0 : DType::kQ6K;
  }
  if (is("attn_v.") || is("attn_qkv.")) return value_type(mix.file_type, mix.type, layer, config);
  if (is("attn_k.") && config.mixture.experts == 8) return DType::kQ8_0;
  if (is("ffn_down")) return down_type(mix.file_type, mix.type, layer, config);
  if (is("attn_output.")) return output_type(mix.file_type, mix.type, config);
  return mix.type;
}

DType of_smaller_blocks(DType type) {
  switch (type) {
    case DType::kQ2K:
    case DType::kQ3K:
      return DType::kQ4_0;
    case DType::kQ4K:
      return DType::kQ5_0;
    case DType::kQ5K:
      return DType::kQ5_1;
    case DType::kQ6K:
      return DType::kQ8_0;
    default:
      return DType::kF16;
  }
}

}  // namespace

std::string quant_mix_names() {
  std::string names;
  for (const QuantMix& mix : kMixes) names += (names.empty() ? "" : ", ") + std::string(mix.name);
  return names;
}

const QuantMix& find_quant_mix(const std::string& name) {
  std::string wanted = name;
  std::ranges::transform(wanted, wanted.begin(), [](unsigned char c) { return std::tolower(c); });
  if (wanted == "q3_k" || wanted == "q4_k" || wanted == "q5_k") wanted += "_m";
  for (const QuantMix& mix : kMixes) {
    if (mix.name == wanted) return mix;
  }
  fail_usage("--quant: '{}' is not known; known are {}", name, quant_mix_names());
}

const QuantMix& plain_mix(DType dtype) { return find_quant_mix(std::string(name(dtype))); }

DType tensor_type(const QuantMix& mix, const std::string& tensor, const Shape& shape,
                  const models::DecoderConfig& config) {
  if (stays_f32(tensor, shape)) return DType::kF32;
  if (!is_block(mix.type)) return mix.type;
  DType type = wanted_type(mix, tensor, shape, config);
  const int64_t row = shape[shape.rank() - 1];
  while (row % block_elements(type) != 0) type = of_smaller_blocks(type);
  return type;
}

}  // namespace ashlar::bundle
