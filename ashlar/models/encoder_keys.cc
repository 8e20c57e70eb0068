#include "ashlar/models/encoder_keys.h"

#include "ashlar/base/error.h"
#include "ashlar/models/hf_keys.h"

namespace ashlar::models {

EncoderConfig read_encoder_sizes(HfConfig& keys) {
  EncoderConfig config;
  config.vocab = keys.size("vocab_size");
  config.width = keys.size("hidden_size");
  config.layers = keys.size("num_hidden_layers");
  config.heads = keys.size("num_attention_heads");
  config.ffn = keys.size("intermediate_size", 4 * config.width);
  ASHLAR_CHECK(keys.has("head_dim") || config.width % config.heads == 0,
               "{}: hidden_size {} is not a multiple of num_attention_heads {}", keys.where(),
               config.width, config.heads);
  config.head_dim = keys.size("head_dim", std::max<int64_t>(1, config.width / config.heads));
  DecoderConfig shared;
  read_shared_keys(keys, shared);
  config.dtype = shared.dtype;
  config.initializer_range = shared.initializer_range;
  return config;
}

RopeConfig read_plain_rope(std::optional<HfConfig> parameters, double default_theta,
                           int64_t rotary_dim) {
  RopeConfig rope;
  rope.rotary_dim = rotary_dim;
  rope.theta = default_theta;
  if (!parameters) return rope;
  rope.theta = parameters->number("rope_theta", default_theta);
  parameters->alias("rope_type", "type");
  const std::string type = parameters->text("rope_type", "default");
  ASHLAR_CHECK(type == "default", "{}: rope_type '{}' is not supported here; supported is default",
               parameters->where(), type);
  parameters->finish();
  return rope;
}

void add_rules(std::vector<WeightRule>& rules, const std::string& theirs,
               const std::vector<std::string>& ours, bool bias) {
  for (const char* part : {".weight", ".bias"}) {
    WeightRule rule{theirs + part, {}};
    for (const std::string& name : ours) rule.parameters.push_back(name + part);
    rules.push_back(std::move(rule));
    if (!bias) break;
  }
}

}  // namespace ashlar::models
