#include "ashlar/bundle/generation_config.h"

#include "ashlar/base/json.h"
#include "ashlar/base/log.h"
#include "ashlar/models/hf_config.h"

#include <fmt/ranges.h>
#include <nlohmann/json.hpp>

namespace ashlar::bundle {
namespace {

// Keys of transformers that change what a model answers and are not read, with the number that
// changes nothing; so do null, false and what is empty.
constexpr std::pair<const char*, double> kUnread[] = {
    {"bad_words_ids", 0},
    {"begin_suppress_tokens", 0},
    {"encoder_repetition_penalty", 1},
    {"epsilon_cutoff", 0},
    {"eta_cutoff", 0},
    {"exponential_decay_length_penalty", 0},
    {"forced_bos_token_id", -1},
    {"forced_eos_token_id", -1},
    {"guidance_scale", 1},
    {"min_length", 0},
    {"min_new_tokens", 0},
    {"no_repeat_ngram_size", 0},
    {"num_beams", 1},
    {"penalty_alpha", 0},
    {"sequence_bias", 0},
    {"stop_strings", 0},
    {"suppress_tokens", 0},
    {"top_h", 0},
    {"typical_p", 1},
    {"watermarking_config", 0},
};

std::vector<std::string> unread_keys(const nlohmann::json& file) {
  std::vector<std::string> found;
  for (const auto& [key, neutral] : kUnread) {
    const auto value = file.find(key);
    if (value == file.end() || value->is_null() || *value == false || *value == neutral) continue;
    if ((value->is_string() || value->is_structured()) && value->empty()) continue;
    found.emplace_back(key);
  }
  return found;
}

struct GgufSampling {
  const char* key;
  std::optional<double> GenerationConfig::*value;
};
constexpr GgufSampling kGgufSampling[] = {
    {"general.sampling.temp", &GenerationConfig::temperature},
    {"general.sampling.top_p", &GenerationConfig::top_p},
    {"general.sampling.min_p", &GenerationConfig::min_p},
    {"general.sampling.penalty_repeat", &GenerationConfig::repetition_penalty},
};
constexpr const char* kGgufTopK = "general.sampling.top_k";

}  // namespace

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
  config.temperature = number("temperature");
  if (keys.has("do_sample") && !keys.flag("do_sample", false)) config.temperature = 0;
  config.top_p = number("top_p");
  config.min_p = number("min_p");
  config.repetition_penalty = number("repetition_penalty");
  config.top_k = size("top_k");
  config.max_new_tokens = size("max_new_tokens");
  config.unread = unread_keys(parse_json<nlohmann::json>(text, where));
  return config;
}

GenerationConfig generation_config(const models::DecoderConfig& config) {
  GenerationConfig result;
  result.bos = config.bos;
  result.eos = config.eos;
  return result;
}

void note_unread(const GenerationConfig& config, const std::string& model) {
  if (config.unread.empty()) return;
  log::warn("model={} note=\"generation_config.json sets {}, which {} not applied here\"", model,
            fmt::format("{}", fmt::join(config.unread, ", ")),
            config.unread.size() == 1 ? "is" : "are");
}

std::string write_generation_config(const GenerationConfig& config) {
  nlohmann::ordered_json document;
  document["_from_model_config"] = true;
  if (config.bos) document["bos_token_id"] = *config.bos;
  if (config.eos.size() == 1) document["eos_token_id"] = config.eos.front();
  if (config.eos.size() > 1) document["eos_token_id"] = config.eos;
  const auto set = [&](const char* key, const auto& value) {
    if (!value) return;
    document["_from_model_config"] = false;
    document[key] = *value;
  };
  if (config.temperature) document["do_sample"] = *config.temperature > 0;
  if (config.temperature != 0.0) set("temperature", config.temperature);
  set("top_p", config.top_p);
  set("top_k", config.top_k);
  set("min_p", config.min_p);
  set("repetition_penalty", config.repetition_penalty);
  return document.dump(2) + "\n";
}

void read_gguf_sampling(const formats::GgufMetadata& metadata, GenerationConfig& config) {
  for (const GgufSampling& sampling : kGgufSampling) {
    if (!metadata.contains(sampling.key)) continue;
    // 0.6 as it was meant, not as f32 has it.
    const auto stored = static_cast<float>(metadata.number(sampling.key));
    config.*sampling.value = std::stod(fmt::format("{}", stored));
  }
  // 0 and less are ways to say "all".
  if (metadata.contains(kGgufTopK) && metadata.integer(kGgufTopK) > 0) {
    config.top_k = metadata.integer(kGgufTopK);
  }
}

void write_gguf_sampling(const GenerationConfig& config, formats::GgufMetadata& metadata) {
  for (const GgufSampling& sampling : kGgufSampling) {
    if (config.*sampling.value) metadata.set_f32(sampling.key, *(config.*sampling.value));
  }
  if (config.top_k) metadata.set_u32(kGgufTopK, *config.top_k);
}

}  // namespace ashlar::bundle
