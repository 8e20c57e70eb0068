#include "ashlar/models/hf_keys.h"

#include "ashlar/base/error.h"
#include "ashlar/base/shown_text.h"

#include <array>
#include <utility>

namespace ashlar::models {
namespace {

using kernels::Activation;

// The first name of each is the one we write.
constexpr std::pair<const char*, Activation> kActivations[] = {
    {"gelu_new", Activation::kGeluTanh},
    {"gelu_pytorch_tanh", Activation::kGeluTanh},
    {"gelu_fast", Activation::kGeluTanh},
    {"gelu_accurate", Activation::kGeluTanh},
    {"gelu_python_tanh", Activation::kGeluTanh},
    {"gelu", Activation::kGeluErf},
    {"gelu_python", Activation::kGeluErf},
    {"quick_gelu", Activation::kGeluQuick},
    {"silu", Activation::kSilu},
    {"swish", Activation::kSilu},
    {"relu", Activation::kRelu},
    {"relu2", Activation::kReluSquared},
    {"tanh", Activation::kTanh},
    {"sigmoid", Activation::kSigmoid},
    {"linear", Activation::kNone}};

constexpr std::array<std::pair<const char*, DType>, 3> kDTypes = {
    {{"float32", DType::kF32}, {"bfloat16", DType::kBF16}, {"float16", DType::kF16}}};

constexpr const char* kSliding = "sliding_attention";
constexpr const char* kFull = "full_attention";

}  // namespace

Activation read_activation(HfConfig& keys, const std::string& key, const std::string& fallback) {
  ASHLAR_CHECK(!keys.is_null(key), "{}: {} is null, wanted the name of an activation", keys.where(),
               key);
  const std::string name = keys.text(key, fallback);
  std::string known;
  for (const auto& [known_name, activation] : kActivations) {
    if (name == known_name) return activation;
    known += (known.empty() ? "" : ", ") + std::string(known_name);
  }
  fail("{}: {} {} is not supported; supported are {}", keys.where(), key, shown_text(name), known);
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
  keys.prefer("dtype", "torch_dtype");
  const std::string dtype = keys.text("dtype", "float32");
  for (const auto& [name, known] : kDTypes) {
    if (dtype == name) config.dtype = known;
  }
  ASHLAR_CHECK(dtype == dtype_name(config.dtype),
               "{}: dtype {} is not supported; supported are float32, bfloat16, float16",
               keys.where(), shown_text(dtype));
  const std::vector<int64_t> bos = keys.token_ids("bos_token_id");
  if (!bos.empty()) config.bos = bos.front();
  config.eos = keys.token_ids("eos_token_id");
  config.initializer_range = keys.number_or("initializer_range", 0.02);
}

int64_t read_window(HfConfig& keys, const std::string& key, int64_t fallback) {
  if (keys.has(key)) return keys.size(key);
  return keys.is_null(key) ? 0 : fallback;
}

void read_layer_types(HfConfig& keys, DecoderConfig& config, int64_t window,
                      const std::function<bool(int64_t layer)>& slides) {
  std::vector<LayerConfig> layers(static_cast<size_t>(config.layers));
  if (!keys.has("layer_types")) {
    for (size_t i = 0; i < layers.size(); ++i) {
      if (slides(static_cast<int64_t>(i))) layers[i].window = window;
    }
  } else {
    const std::vector<std::string> types = keys.texts("layer_types");
    ASHLAR_CHECK(std::ssize(types) == config.layers,
                 "{}: layer_types has {} entries, num_hidden_layers is {}", keys.where(),
                 types.size(), config.layers);
    for (size_t i = 0; i < layers.size(); ++i) {
      const bool sliding = types[i] == kSliding;
      ASHLAR_CHECK(sliding || types[i] == kFull,
                   "{}: layer_types has {} for layer {}; supported are {} and {}", keys.where(),
                   shown_text(types[i]), i, kSliding, kFull);
      if (sliding) layers[i].window = window;
    }
  }
  config.set_layers(layers);
}

std::vector<std::string> layer_types(const DecoderConfig& config) {
  std::vector<std::string> types;
  for (int64_t i = 0; i < config.layers; ++i) {
    types.emplace_back(config.layer(i).window > 0 ? kSliding : kFull);
  }
  return types;
}

}  // namespace ashlar::models
