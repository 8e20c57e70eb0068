#include "ashlar/models/hf_keys.h"

#include "ashlar/base/error.h"

#include <array>
#include <utility>

namespace ashlar::models {
namespace {

using kernels::Activation;

// The first name of each is the one we write.
constexpr std::array<std::pair<const char*, Activation>, 7> kActivations = {
    {{"gelu_new", Activation::kGeluTanh},
     {"gelu_pytorch_tanh", Activation::kGeluTanh},
     {"gelu_fast", Activation::kGeluTanh},
     {"gelu", Activation::kGeluErf},
     {"silu", Activation::kSilu},
     {"swish", Activation::kSilu},
     {"relu", Activation::kRelu}}};

constexpr std::array<std::pair<const char*, DType>, 3> kDTypes = {
    {{"float32", DType::kF32}, {"bfloat16", DType::kBF16}, {"float16", DType::kF16}}};

std::string read_scaling_type(HfConfig& scaling) {
  scaling.alias("rope_type", "type");
  return scaling.text("rope_type", "default");
}

void read_scaling(HfConfig& scaling, RopeConfig& rope) {
  const std::string type = read_scaling_type(scaling);
  if (type == "linear") {
    rope.scaling = RopeScaling::kLinear;
    rope.factor = scaling.number("factor");
  } else if (type == "llama3") {
    rope.scaling = RopeScaling::kLlama3;
    rope.factor = scaling.number("factor");
    rope.low_freq_factor = scaling.number("low_freq_factor");
    rope.high_freq_factor = scaling.number("high_freq_factor");
    rope.original_max_positions = scaling.size("original_max_position_embeddings");
  } else {
    ASHLAR_CHECK(type == "default",
                 "{}: rope_scaling type '{}' is not supported; supported are default, linear, "
                 "llama3",
                 scaling.where(), type);
  }
  scaling.finish();
}

}  // namespace

Activation read_activation(HfConfig& keys, const std::string& key, const std::string& fallback) {
  const std::string name = keys.text(key, fallback);
  std::string known;
  for (const auto& [known_name, activation] : kActivations) {
    if (name == known_name) return activation;
    known += (known.empty() ? "" : ", ") + std::string(known_name);
  }
  fail("{}: {} '{}' is not supported; supported are {}", keys.where(), key, name, known);
}

std::string activation_name(Activation activation) {
  for (const auto& [name, known] : kActivations) {
    if (known == activation) return name;
  }
  fail("activation '{}' has no Hugging Face name", static_cast<int>(activation));
}

std::string dtype_name(DType dtype) {
  for (const auto& [name, known] : kDTypes) {
    if (known == dtype) return name;
  }
  fail("weights cannot be stored as {}; wanted f32, bf16 or f16", name(dtype));
}

void read_shared_keys(HfConfig& keys, DecoderConfig& config) {
  keys.alias("dtype", "torch_dtype");
  const std::string dtype = keys.text("dtype", "float32");
  for (const auto& [name, known] : kDTypes) {
    if (dtype == name) config.dtype = known;
  }
  ASHLAR_CHECK(dtype == dtype_name(config.dtype),
               "{}: dtype '{}' is not supported; supported are float32, bfloat16, float16",
               keys.where(), dtype);
  const std::vector<int64_t> bos = keys.token_ids("bos_token_id");
  if (!bos.empty()) config.bos = bos.front();
  config.eos = keys.token_ids("eos_token_id");
  config.initializer_range = keys.number("initializer_range", 0.02);
}

RopeConfig read_rope(HfConfig& keys, int64_t rotary_dim, double default_theta) {
  RopeConfig rope;
  rope.rotary_dim = rotary_dim;
  rope.theta = keys.number("rope_theta", default_theta);
  for (const char* key : {"rope_scaling", "rope_parameters"}) {
    auto scaling = keys.object(key);
    if (!scaling) continue;
    rope.theta = scaling->number("rope_theta", rope.theta);
    read_scaling(*scaling, rope);
  }
  return rope;
}

}  // namespace ashlar::models
