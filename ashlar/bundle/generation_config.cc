#include "ashlar/bundle/generation_config.h"

#include "ashlar/models/hf_config.h"

#include <nlohmann/json.hpp>

namespace ashlar::bundle {

GenerationConfig parse_generation_config(std::string_view text, const std::string& where) {
  models::HfConfig keys(text, where);
  const auto number = [&](const char* key) -> std::optional<double> {
    if (!keys.has(key)) return std::nullopt;
    return keys.number(key);
  };
  const auto size = [&](const char* key) -> std::optional<int64_t> {
    const auto value = number(key);  // 0 is a way to say "off"
    if (!value || *value == 0) return std::nullopt;
    return keys.size(key);
  };
  const auto id = [&](const char* key) -> std::optional<int64_t> {
    const std::vector<int64_t> ids = keys.token_ids(key);
    if (ids.empty()) return std::nullopt;
    return ids.front();
  };
  GenerationConfig config;
  config.bos = id("bos_token_id");
  config.pad = id("pad_token_id");
  config.eos = keys.token_ids("eos_token_id");
  if (keys.has("do_sample")) config.do_sample = keys.flag("do_sample", false);
  config.temperature = number("temperature");
  config.top_p = number("top_p");
  config.min_p = number("min_p");
  config.repetition_penalty = number("repetition_penalty");
  config.top_k = size("top_k");
  config.max_new_tokens = size("max_new_tokens");
  return config;
}

GenerationConfig generation_config(const models::DecoderConfig& config) {
  GenerationConfig result;
  result.bos = config.bos;
  result.eos = config.eos;
  return result;
}

std::string write_generation_config(const models::DecoderConfig& config) {
  nlohmann::ordered_json document;
  document["_from_model_config"] = true;
  if (config.bos) document["bos_token_id"] = *config.bos;
  if (config.eos.size() == 1) document["eos_token_id"] = config.eos.front();
  if (config.eos.size() > 1) document["eos_token_id"] = config.eos;
  return document.dump(2) + "\n";
}

}  // namespace ashlar::bundle
