#include "ashlar/bundle/gguf_encoder.h"

#include "ashlar/base/error.h"
#include "ashlar/bundle/gguf_facts.h"
#include "ashlar/bundle/gguf_names.h"
#include "ashlar/bundle/gguf_windows.h"
#include "ashlar/models/family.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <array>

namespace ashlar::bundle {
namespace {

using formats::GgufMetadata;
using formats::GgufReader;
using nlohmann::ordered_json;

struct Architecture {
  std::string_view name, model_type;
};
constexpr Architecture kArchitectures[] = {
    {"bert", "bert"}, {"nomic-bert", "nomic_bert"}, {"modern-bert", "modernbert"}};

constexpr int64_t kMaxLayers = 10'000;

// Behind "ARCHITECTURE.".
constexpr std::string_view kKeys[] = {
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "vocab_size",
    "pooling_type",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.layer_norm_epsilon",
    "attention.causal",
};
constexpr std::string_view kRotaryKeys[] = {"rope.freq_base"};
constexpr std::string_view kModernKeys[] = {"rope.freq_base",
                                            "rope.freq_base_swa",
                                            "rope.dimension_count",
                                            "attention.sliding_window",
                                            "attention.sliding_window_pattern",
                                            "attention.key_length",
                                            "attention.value_length",
                                            "hidden_activation"};

// Heads that an encoding has no use for.
const std::vector<std::string> kHeads = {"cls.weight", "cls.bias", "cls.output.weight",
                                         "cls.output.bias", "cls.norm.weight"};

const Architecture* find_architecture(const GgufMetadata& metadata) {
  const std::string name = metadata.text("general.architecture", "");
  const auto found = std::ranges::find(kArchitectures, name, &Architecture::name);
  return found == std::end(kArchitectures) ? nullptr : &*found;
}

void check_keys(const GgufMetadata& metadata, const std::string& prefix) {
  const auto has = [](const auto& list, std::string_view suffix) {
    return std::ranges::count(list, suffix) > 0;
  };
  for (const auto& [key, value] : metadata.entries()) {
    if (!key.starts_with(prefix)) continue;
    const std::string_view suffix = std::string_view(key).substr(prefix.size());
    const bool known = has(kKeys, suffix) || (prefix != "bert." && has(kRotaryKeys, suffix)) ||
                       (prefix == "modern-bert." && has(kModernKeys, suffix));
    ASHLAR_CHECK(known, "{}: key '{}' (= {}) is not understood", metadata.where(), key,
                 value.str());
  }
  ASHLAR_CHECK(!metadata.flag(prefix + "attention.causal", false),
               "{}: {}attention.causal = true is not supported for an encoder", metadata.where(),
               prefix);
}

// Every third layer, the first too, sees the whole text, unless the file has a pattern.
ordered_json layer_types(const GgufMetadata& metadata, const std::string& prefix) {
  constexpr int64_t kPeriod = 3;
  const int64_t layers = metadata.integer(prefix + "block_count");
  const std::string key = prefix + "attention.sliding_window_pattern";
  const formats::GgufValue* const found = metadata.find(key);
  const bool listed = found != nullptr && found->array;
  ASHLAR_CHECK(!listed || std::ssize(found->integers) == layers,
               "{}: {} has {} entries, the model {} layers", metadata.where(), key,
               listed ? found->size() : 0, layers);
  const int64_t period = found != nullptr && !listed ? metadata.integer(key) : kPeriod;
  ordered_json types = ordered_json::array();
  for (int64_t i = 0; i < layers; ++i) {
    const bool local =
        listed ? found->integers[static_cast<size_t>(i)] != 0 : period > 0 && i % period != 0;
    types.push_back(local ? "sliding_attention" : "full_attention");
  }
  return types;
}

double real(const GgufMetadata& metadata, const std::string& key,
            std::optional<double> fallback = std::nullopt) {
  return std::stod(json_number(metadata.number(key, fallback)));
}

void read_modern(const GgufMetadata& metadata, const std::string& prefix, ordered_json& config) {
  config["global_rope_theta"] = real(metadata, prefix + "rope.freq_base", 10000);
  config["local_rope_theta"] = real(metadata, prefix + "rope.freq_base_swa", 10000);
  config["local_attention"] = metadata.integer(prefix + "attention.sliding_window");
  config["layer_types"] = layer_types(metadata, prefix);
  config["hidden_activation"] = metadata.text(prefix + "hidden_activation", "gelu");
}

}  // namespace

bool is_gguf_encoder(const GgufMetadata& metadata) {
  return find_architecture(metadata) != nullptr;
}

models::DecoderConfig gguf_encoder_config(const GgufReader& file) {
  const GgufMetadata& metadata = file.metadata();
  const Architecture& architecture = *find_architecture(metadata);
  const std::string prefix = std::string(architecture.name) + ".";
  check_keys(metadata, prefix);
  const auto rows = [&](const std::string& name) {
    ASHLAR_CHECK(file.contains(name) && file.entry(name).shape.rank() == 2,
                 "{}: tensor '{}' is missing or no matrix", metadata.where(), name);
    return file.entry(name).shape[0];
  };
  const int64_t layers = metadata.integer(prefix + "block_count");
  ASHLAR_CHECK(layers >= 1 && layers <= kMaxLayers, "{}: {}block_count is {}, wanted 1 to {}",
               metadata.where(), prefix, layers, kMaxLayers);
  const double eps = real(metadata, prefix + "attention.layer_norm_epsilon");
  ordered_json config{
      {"model_type", architecture.model_type},
      {"vocab_size", rows("token_embd.weight")},
      {"hidden_size", metadata.integer(prefix + "embedding_length")},
      {"num_hidden_layers", layers},
      {"num_attention_heads", metadata.integer(prefix + "attention.head_count")},
      {"intermediate_size", metadata.integer(prefix + "feed_forward_length")},
      {"max_position_embeddings", metadata.integer(prefix + "context_length")},
      {architecture.name == "modern-bert" ? "norm_eps" : "layer_norm_eps", eps},
  };
  if (architecture.name == "modern-bert") {
    read_modern(metadata, prefix, config);
  } else {
    config["type_vocab_size"] = rows("token_types.weight");
  }
  if (architecture.name == "bert") {
    config["max_position_embeddings"] = rows("position_embd.weight");
  }
  if (architecture.name == "nomic-bert") {
    config["rope_parameters"] = {{"rope_theta", real(metadata, prefix + "rope.freq_base", 10000)}};
  }
  return models::parse_config(config.dump(), metadata.where());
}

Weights gguf_encoder_weights(std::shared_ptr<const GgufReader> file,
                             const models::DecoderConfig& config) {
  const bool behind = config.norm_placement == models::NormPlacement::kStream;
  const bool merged = file->contains("blk.0.attn_qkv.weight");
  // ModernBERT's gate and up are one tensor.
  const bool merged_gate = config.gated && !file->contains("blk.0.ffn_gate.weight");
  std::vector<models::WeightRule> rules;
  for (const models::WeightRule& theirs : models::tensor_names(config).rules) {
    for (const std::string& parameter : theirs.parameters) {
      if (parameter.starts_with("head.")) continue;
      std::string name = gguf_tensor_name(parameter);
      const auto rename = [&](std::string_view from, std::string_view to) {
        const size_t at = name.find(fmt::format(".{}.", from));
        if (at != std::string::npos) name.replace(at + 1, from.size(), to);
      };
      if (behind) rename("attn_norm", "attn_output_norm");
      if (behind) rename("ffn_norm", "layer_output_norm");
      if (merged) {
        for (const char* part : {"attn_q", "attn_k", "attn_v"}) rename(part, "attn_qkv");
      }
      if (merged_gate) rename("ffn_gate", "ffn_up");
      const auto known = std::ranges::find(rules, name, &models::WeightRule::tensor);
      if (known != rules.end()) {
        known->parameters.push_back(parameter);
      } else {
        rules.push_back({.tensor = name, .parameters = {parameter}});
      }
    }
  }
  return {std::move(file), std::move(rules), "the metadata", "", kHeads};
}

std::string gguf_pooling(const GgufMetadata& metadata) {
  constexpr std::array<std::string_view, 4> kNames = {"", "mean", "cls", "last"};
  const std::string key = metadata.text("general.architecture", "") + ".pooling_type";
  const int64_t kind = metadata.integer(key, 0);
  ASHLAR_CHECK(kind >= 0 && kind < std::ssize(kNames),
               "{}: {} is {}, wanted 0 (none), 1 (mean), 2 (cls) or 3 (last)", metadata.where(),
               key, kind);
  return std::string(kNames[static_cast<size_t>(kind)]);
}

}  // namespace ashlar::bundle
