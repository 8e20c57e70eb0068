#include "ashlar/bundle/gguf_encoder.h"

#include "ashlar/base/error.h"
#include "ashlar/bundle/gguf_facts.h"
#include "ashlar/bundle/gguf_names.h"
#include "ashlar/bundle/gguf_windows.h"
#include "ashlar/models/family.h"

#include <nlohmann/json.hpp>

#include <algorithm>

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

std::vector<std::string_view> gguf_encoder_architectures() {
  std::vector<std::string_view> names;
  for (const Architecture& architecture : kArchitectures) names.push_back(architecture.name);
  return names;
}

bool is_gguf_encoder(const GgufMetadata& metadata) {
  return find_architecture(metadata) != nullptr;
}

namespace {

// Sizes that the tensors say.
struct TableRows {
  int64_t tokens = 0, positions = 0, types = 0;
};

models::DecoderConfig config_of(const GgufMetadata& metadata, const TableRows& rows) {
  const Architecture& architecture = *find_architecture(metadata);
  const std::string prefix = std::string(architecture.name) + ".";
  check_keys(metadata, prefix);
  const int64_t layers = layer_count(metadata, prefix);
  const double eps = real(metadata, prefix + "attention.layer_norm_epsilon");
  ordered_json config{
      {"model_type", architecture.model_type},
      {"vocab_size", rows.tokens},
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
    config["type_vocab_size"] = rows.types;
  }
  if (architecture.name == "bert") config["max_position_embeddings"] = rows.positions;
  if (architecture.name == "nomic-bert") {
    config["rope_parameters"] = {{"rope_theta", real(metadata, prefix + "rope.freq_base", 10000)}};
  }
  return models::parse_config(config.dump(), metadata.where()).without_dropout();
}

// What a file can say of a model, as config.json.
ordered_json said(models::DecoderConfig config) {
  config = config.without_dropout();
  config.head_transform = {};
  config.tied_head = config.head_bias = true;
  config.initializer_range = 0;
  config.dtype = DType::kF32;
  config.bos.reset();
  config.eos.clear();
  return ordered_json::parse(models::write_config(config));
}

}  // namespace

models::DecoderConfig gguf_encoder_config(const GgufReader& file) {
  const GgufMetadata& metadata = file.metadata();
  const std::string_view architecture = find_architecture(metadata)->name;
  const auto rows = [&](const std::string& name) {
    ASHLAR_CHECK(file.contains(name) && file.entry(name).shape.rank() == 2,
                 "{}: tensor '{}' is missing or no matrix", metadata.where(), name);
    return file.entry(name).shape[0];
  };
  check_layers(file, architecture, metadata.integer(fmt::format("{}.block_count", architecture)));
  TableRows tables{.tokens = rows("token_embd.weight")};
  if (architecture == "bert") tables.positions = rows("position_embd.weight");
  if (architecture != "modern-bert") tables.types = rows("token_types.weight");
  return config_of(metadata, tables);
}

GgufMerged gguf_encoder_merged(const models::DecoderConfig& config) {
  return {.qkv = config.positions == models::Positions::kRotary,
          .gate = config.family == "modernbert"};
}

std::vector<models::WeightRule> gguf_encoder_rules(const models::DecoderConfig& config,
                                                   const GgufMerged& merged) {
  const bool behind = config.norm_placement == models::NormPlacement::kStream;
  std::vector<models::WeightRule> rules;
  for (const models::WeightRule& theirs : models::weight_rules(config)) {
    for (const std::string& parameter : theirs.parameters) {
      if (parameter.starts_with("head.")) continue;
      std::string name = gguf_tensor_name(parameter);
      const auto rename = [&](std::string_view from, std::string_view to) {
        const size_t at = name.find(fmt::format(".{}.", from));
        if (at != std::string::npos) name.replace(at + 1, from.size(), to);
      };
      if (behind) rename("attn_norm", "attn_output_norm");
      if (behind) rename("ffn_norm", "layer_output_norm");
      if (merged.qkv) {
        for (const char* part : {"attn_q", "attn_k", "attn_v"}) rename(part, "attn_qkv");
      }
      if (merged.gate) rename("ffn_gate", "ffn_up");
      const auto known = std::ranges::find(rules, name, &models::WeightRule::tensor);
      if (known != rules.end()) {
        known->parameters.push_back(parameter);
      } else {
        rules.push_back({.tensor = name, .parameters = {parameter}});
      }
    }
  }
  return rules;
}

Weights gguf_encoder_weights(std::shared_ptr<const GgufReader> file,
                             const models::DecoderConfig& config) {
  const GgufMerged merged{.qkv = file->contains("blk.0.attn_qkv.weight"),
                          .gate = config.gated && !file->contains("blk.0.ffn_gate.weight")};
  return {std::move(file), gguf_encoder_rules(config, merged), "the metadata", "", kHeads};
}

models::DecoderConfig as_gguf_encoder(const models::DecoderConfig& config) {
  models::DecoderConfig result = config;
  if (config.family == "roberta" || config.family == "xlm-roberta") {
    result.family = "bert";
    result.position_offset = 0;
  }
  return result;
}

void describe_encoder(const models::DecoderConfig& config, GgufMetadata& metadata) {
  const auto architecture =
      std::ranges::find(kArchitectures, config.family, &Architecture::model_type);
  ASHLAR_CHECK(architecture != std::end(kArchitectures), "gguf: no architecture for {}",
               config.family);
  const std::string prefix = std::string(architecture->name) + ".";
  metadata.set("general.architecture", std::string(architecture->name));
  metadata.set_u32(prefix + "vocab_size", config.vocab);
  metadata.set_u32(prefix + "context_length", config.max_positions);
  metadata.set_u32(prefix + "embedding_length", config.width);
  metadata.set_u32(prefix + "block_count", config.layers);
  metadata.set_u32(prefix + "feed_forward_length", config.ffn);
  metadata.set_u32(prefix + "attention.head_count", config.heads);
  metadata.set_f32(prefix + "attention.layer_norm_epsilon", config.norm_eps);
  metadata.set(prefix + "attention.causal", false);
  if (config.positions == models::Positions::kRotary) {
    metadata.set_f32(prefix + "rope.freq_base", config.rope.theta);
  }
  if (config.token_types > 0) {
    metadata.set_u32("tokenizer.ggml.token_type_count", config.token_types);
  }
  if (config.family == "modernbert") {
    // Every third layer, the first too, sees all: other patterns are refused below.
    metadata.set_f32(prefix + "rope.freq_base_swa", config.local_rope.theta);
    metadata.set_u32(prefix + "attention.sliding_window", 2 * (config.largest_window() - 1));
    metadata.set_u32(prefix + "attention.sliding_window_pattern", 3);
  }
  const TableRows rows{config.vocab, config.max_positions, config.token_types};
  check_said(architecture->name, said(config).dump(), said(config_of(metadata, rows)).dump());
}

}  // namespace ashlar::bundle
