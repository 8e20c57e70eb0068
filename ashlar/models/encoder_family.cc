#include "ashlar/models/encoder_family.h"

#include "ashlar/base/error.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace ashlar::models {
namespace {

const EncoderFamily& find_encoder(std::string_view model_type) {
  const auto families = encoder_families();
  const auto found = std::ranges::find(families, model_type, &EncoderFamily::model_type);
  ASHLAR_CHECK(found != families.end(), "model_type '{}' is no encoder's", model_type);
  return *found;
}

}  // namespace

std::span<const EncoderFamily> encoder_families() {
  static const std::vector<EncoderFamily> table = {bert_family(), roberta_family(),
                                                   xlm_roberta_family(), nomic_bert_family(),
                                                   modernbert_family()};
  return table;
}

bool is_encoder(std::string_view model_type) {
  return std::ranges::find(encoder_families(), model_type, &EncoderFamily::model_type) !=
         encoder_families().end();
}

void check_model_type(std::string_view model_type, const std::string& where) {
  if (is_encoder(model_type)) return;
  std::vector<std::string_view> decoders, encoders;
  for (const Family& family : families()) {
    if (family.model_type == model_type) return;
    decoders.push_back(family.model_type);
  }
  for (const EncoderFamily& family : encoder_families()) encoders.push_back(family.model_type);
  fail("{}: model_type '{}' is not known; known are the decoders {} and the encoders {}", where,
       model_type, fmt::join(decoders, ", "), fmt::join(encoders, ", "));
}

EncoderConfig parse_encoder_config(std::string_view text, const std::string& where) {
  HfConfig keys(text, where);
  const EncoderFamily& family = find_encoder(keys.text("model_type"));
  keys.only("is_decoder", false);
  keys.only("add_cross_attention", false);
  ignore_common_keys(keys);
  EncoderConfig config = family.parse(keys);
  config.family = family.model_type;
  keys.finish();
  config.validate(where);
  return config;
}

TensorNames tensor_names(const EncoderConfig& config) {
  const EncoderFamily& family = find_encoder(config.family);
  TensorNames names;
  names.rules = family.weights(config);
  names.prefix = family.prefix;
  names.older = {{".LayerNorm.weight", ".LayerNorm.gamma"}, {".LayerNorm.bias", ".LayerNorm.beta"}};
  names.is_buffer = [&family](std::string_view tensor) {
    if (tensor.ends_with("embeddings.position_ids") || tensor.ends_with(".inv_freq")) return true;
    if (tensor.starts_with(family.prefix)) tensor.remove_prefix(family.prefix.size());
    return std::ranges::any_of(family.heads,
                               [&](std::string_view head) { return tensor.starts_with(head); });
  };
  return names;
}

}  // namespace ashlar::models
