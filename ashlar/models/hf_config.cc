#include "ashlar/models/hf_config.h"

#include "ashlar/base/error.h"
#include "ashlar/base/json.h"
#include "ashlar/base/shown_text.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <cstdint>
#include <set>
#include <utility>

namespace ashlar::models {

using nlohmann::json;

struct HfConfig::Impl {
  json document;
  std::string where;   // "dir/config.json"
  std::string prefix;  // "rope_scaling." below that key
  std::set<std::string> known;

  const json* find(const std::string& key) {
    known.insert(key);
    const auto found = document.find(key);
    return found == document.end() || found->is_null() ? nullptr : &*found;
  }

  bool present(const std::string& key) {  // null or not
    known.insert(key);
    return document.contains(key);
  }

  const json& require(const std::string& key) {
    const json* value = find(key);
    ASHLAR_CHECK(value != nullptr, "{}: key '{}{}' is {}", where, prefix, key,
                 document.contains(key) ? "null" : "missing");
    return *value;
  }

  [[noreturn]] void wrong(const std::string& key, const json& value, std::string_view wanted) {
    fail("{}: {}{} is {}, wanted {}", where, prefix, key, on_one_line(value.dump(), kShownText),
         wanted);
  }
};

HfConfig::HfConfig(std::unique_ptr<Impl> impl) : impl_(std::move(impl)) {}
HfConfig::HfConfig(std::string_view text, std::string where) : impl_(std::make_unique<Impl>()) {
  impl_->where = std::move(where);
  impl_->document = parse_json<json>(text, impl_->where);
  ASHLAR_CHECK(impl_->document.is_object(), "{}: wanted a JSON object", impl_->where);
}
HfConfig::~HfConfig() = default;
HfConfig::HfConfig(HfConfig&&) noexcept = default;

const std::string& HfConfig::where() const { return impl_->where; }

bool HfConfig::has(const std::string& key) const { return impl_->find(key) != nullptr; }

bool HfConfig::is_null(const std::string& key) const {
  const auto found = impl_->document.find(key);
  return found != impl_->document.end() && found->is_null();
}

void HfConfig::alias(const std::string& key, const std::string& other) {
  const json *value = impl_->find(key), *second = impl_->find(other);
  ASHLAR_CHECK(value == nullptr || second == nullptr || *value == *second,
               "{}: {}{} is {} and {}{} is {}, two names of one setting; wanted one value",
               impl_->where, impl_->prefix, key, on_one_line(value->dump(), kShownText),
               impl_->prefix, other, on_one_line(second->dump(), kShownText));
  prefer(key, other);
}

void HfConfig::prefer(const std::string& key, const std::string& other) {
  const json* value = impl_->find(other);
  if (value != nullptr && impl_->find(key) == nullptr) impl_->document[key] = json(*value);
}

int64_t HfConfig::size(const std::string& key, std::optional<int64_t> fallback, int64_t most) {
  if (fallback && !impl_->present(key)) return *fallback;
  const json& value = impl_->require(key);
  const bool whole = value.is_number_integer();
  if (!whole || value.get<double>() < 1 || value.get<double>() > static_cast<double>(most)) {
    impl_->wrong(key, value, fmt::format("an integer from 1 to {}", most));
  }
  return value.get<int64_t>();
}

double HfConfig::number(const std::string& key, std::optional<double> fallback) {
  if (fallback && !impl_->present(key)) return *fallback;
  const json& value = impl_->require(key);
  if (!value.is_number() || !std::isfinite(value.get<double>())) {
    impl_->wrong(key, value, "a number");
  }
  return value.get<double>();
}

int64_t HfConfig::size_or(const std::string& key, int64_t fallback) {
  return has(key) ? size(key) : fallback;
}

double HfConfig::number_or(const std::string& key, double fallback) {
  return has(key) ? number(key) : fallback;
}

std::vector<std::string> HfConfig::strings(const std::string& key) {
  const json* list = impl_->find(key);
  if (list == nullptr) return {};
  std::vector<std::string> strings;
  for (const json& text : *list) {
    if (!list->is_array() || !text.is_string()) impl_->wrong(key, *list, "a list of strings");
    strings.push_back(text.get<std::string>());
  }
  return strings;
}

bool HfConfig::flag(const std::string& key, bool fallback) {
  const json* value = impl_->find(key);
  if (value == nullptr) return fallback && !is_null(key);
  if (!value->is_boolean()) impl_->wrong(key, *value, "true or false");
  return value->get<bool>();
}

std::string HfConfig::text(const std::string& key, std::optional<std::string> fallback) {
  if (fallback && !has(key)) return *fallback;
  const json& value = impl_->require(key);
  if (!value.is_string()) impl_->wrong(key, value, "a string");
  return value.get<std::string>();
}

std::vector<int64_t> HfConfig::token_ids(const std::string& key) {
  const json* value = impl_->find(key);
  if (value == nullptr) return {};
  std::vector<int64_t> ids;
  for (const json& id : value->is_array() ? *value : json::array({*value})) {
    const bool whole = id.is_number_integer();
    // -1 is how some configs say "none".
    if (!whole || id.get<double>() < -1 || id.get<double>() > 2147483647.0) {
      impl_->wrong(key, *value, "a token id or a list of them");
    }
    if (id.get<int64_t>() >= 0) ids.push_back(id.get<int64_t>());
  }
  return ids;
}

std::vector<std::string> HfConfig::texts(const std::string& key) {
  const json& value = impl_->require(key);
  std::vector<std::string> texts;
  for (const json& text : value.is_array() ? value : json::array({value})) {
    if (!text.is_string()) impl_->wrong(key, value, "a list of strings");
    texts.push_back(text.get<std::string>());
  }
  return texts;
}

std::vector<double> HfConfig::numbers(const std::string& key) {
  const json& value = impl_->require(key);
  std::vector<double> numbers;
  for (const json& number : value.is_array() ? value : json::array({value})) {
    if (!number.is_number() || !std::isfinite(number.get<double>())) {
      impl_->wrong(key, value, "a list of numbers");
    }
    numbers.push_back(number.get<double>());
  }
  return numbers;
}

std::optional<HfConfig> HfConfig::object(const std::string& key) {
  const json* value = impl_->find(key);
  if (value == nullptr) return std::nullopt;
  if (!value->is_object()) impl_->wrong(key, *value, "an object");
  auto impl = std::make_unique<Impl>();
  impl->document = *value;
  impl->where = impl_->where;
  impl->prefix = impl_->prefix + key + ".";
  return HfConfig(std::move(impl));
}

void HfConfig::ignore(std::string_view keys) {
  while (!keys.empty()) {
    const size_t end = std::min(keys.find(' '), keys.size());
    impl_->known.emplace(keys.substr(0, end));
    keys.remove_prefix(std::min(end + 1, keys.size()));
  }
}

void HfConfig::only(const std::string& key, double supported) {
  const json* value = impl_->find(key);
  ASHLAR_CHECK(value == nullptr || (value->is_number() && value->get<double>() == supported),
               "{}: {}{} = {} is not supported (only {})", impl_->where, impl_->prefix, key,
               on_one_line(value->dump(), kShownText), supported);
}

void HfConfig::only(const std::string& key, bool supported) {
  const json* value = impl_->find(key);
  ASHLAR_CHECK(value == nullptr || (value->is_boolean() && value->get<bool>() == supported),
               "{}: {}{} = {} is not supported (only {})", impl_->where, impl_->prefix, key,
               on_one_line(value->dump(), kShownText), supported);
}

void HfConfig::finish() const {
  for (const auto& [key, value] : impl_->document.items()) {
    const bool off = value.is_null() || value == json(false) ||
                     ((value.is_structured() || value.is_string()) && value.empty());
    const bool note = key.starts_with('_') || key.ends_with("_version");
    ASHLAR_CHECK(off || note || impl_->known.contains(key),
                 "{}: key '{}{}' (= {}) is not understood; if it does not change what the model "
                 "computes, remove it",
                 impl_->where, impl_->prefix, key, on_one_line(value.dump(), kShownText));
  }
}

void ignore_common_keys(HfConfig& config) {
  config.ignore(
      "architectures auto_map model_type name_or_path transformers_version torch_dtype "
      "dtype use_cache return_dict return_dict_in_generate output_attentions "
      "output_hidden_states output_scores torchscript use_bfloat16 attn_implementation "
      "finetuning_task task_specific_params problem_type id2label label2id num_labels "
      "tokenizer_class prefix pad_token_id sep_token_id decoder_start_token_id "
      "forced_bos_token_id forced_eos_token_id suppress_tokens begin_suppress_tokens "
      "max_length min_length do_sample early_stopping num_beams num_beam_groups "
      "num_return_sequences diversity_penalty temperature top_k top_p typical_p "
      "epsilon_cutoff eta_cutoff repetition_penalty length_penalty no_repeat_ngram_size "
      "encoder_no_repeat_ngram_size bad_words_ids exponential_decay_length_penalty "
      "remove_invalid_values tf_legacy_loss gradient_checkpointing "
      "keys_to_ignore_at_inference chunk_size_feed_forward is_decoder output_past "
      "max_sequence_length is_llama_config transformers.js_config "
      "cache_implementation model_max_length unsloth_fixed use_return_dict");
}

}  // namespace ashlar::models
