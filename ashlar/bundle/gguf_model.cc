#include "ashlar/bundle/gguf_model.h"

#include "ashlar/base/error.h"
#include "ashlar/bundle/gguf_families.h"
#include "ashlar/bundle/rope_divisors.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <optional>
#include <set>

namespace ashlar::bundle {
namespace {

using formats::GgufMetadata;
using formats::GgufReader;
using nlohmann::ordered_json;

constexpr const char* kRopeFreqs = "rope_freqs.weight";

// Keys behind "ARCHITECTURE." that change nothing, or are checked beside the table.
constexpr std::string_view kOtherKeys[] = {
    "vocab_size",        "rope.dimension_count", "attention.value_length",
    "rope.scaling.type", "rope.scaling.factor",  "rope.scaling.original_context_length",
    "rope.scale_linear", "expert_count",         "expert_used_count",
    "attention.causal",  "tensor_data_layout",   "rope.scaling.finetuned",
};

// A float as people write it: 1e-05f gives 1e-05, not the double next to it.
double shortest(double value) { return std::stod(fmt::format("{}", static_cast<float>(value))); }

ordered_json read_key(const GgufMetadata& metadata, const std::string& key, GgufKey::Kind kind) {
  switch (kind) {
    case GgufKey::Kind::kInteger:
      return metadata.integer(key);
    case GgufKey::Kind::kReal:
      return shortest(metadata.number(key));
    case GgufKey::Kind::kFlag:
      return metadata.flag(key, false);
  }
  return nullptr;
}

// rope_freqs.weight holds what Llama 3.1 divides each frequency by; the four numbers of config.json
// that led there follow from it, with a low_freq_factor of 1.
ordered_json llama3_scaling(const GgufReader& file, const ordered_json& config) {
  const Tensor divisors = file.tensor(kRopeFreqs).to(DType::kF32);
  const std::optional<models::RopeConfig> rope =
      rope_of_divisors(divisors.span<float>(), config.value("rope_theta", 10000.0));
  ASHLAR_CHECK(rope.has_value(), "gguf {}: {} are not the divisors of Llama 3's scaling",
               file.path(), kRopeFreqs);
  if (rope->scaling == models::RopeScaling::kDefault) return nullptr;
  return {{"rope_type", "llama3"},
          {"factor", rope->factor},
          {"low_freq_factor", rope->low_freq_factor},
          {"high_freq_factor", rope->high_freq_factor},
          {"original_max_position_embeddings", rope->original_max_positions}};
}

ordered_json rope_scaling(const GgufReader& file, const std::string& prefix,
                          const ordered_json& config) {
  const GgufMetadata& metadata = file.metadata();
  const std::string type = metadata.text(prefix + "rope.scaling.type", "none");
  if (file.contains(kRopeFreqs)) return llama3_scaling(file, config);
  if (type == "none") {
    const double factor = metadata.number(prefix + "rope.scale_linear", 1);
    if (factor == 1) return nullptr;
    return {{"rope_type", "linear"}, {"factor", shortest(factor)}};
  }
  ordered_json scaling{{"rope_type", type},
                       {"factor", shortest(metadata.number(prefix + "rope.scaling.factor"))}};
  const std::string original = prefix + "rope.scaling.original_context_length";
  if (type != "linear" && metadata.contains(original)) {
    scaling["original_max_position_embeddings"] = metadata.integer(original);
  }
  return scaling;
}

void check_keys(const GgufMetadata& metadata, const GgufFamily& family, const std::string& prefix) {
  for (const auto& [key, value] : metadata.entries()) {
    if (!key.starts_with(prefix)) continue;
    const std::string_view suffix = std::string_view(key).substr(prefix.size());
    const bool known = std::ranges::count(family.keys, suffix, &GgufKey::suffix) > 0 ||
                       std::ranges::count(kOtherKeys, suffix) > 0;
    ASHLAR_CHECK(known, "{}: key '{}' (= {}) is not understood", metadata.where(), key,
                 value.str());
  }
}

// Rotary channels and the size of values that our families do not have.
void check_heads(const GgufMetadata& metadata, const std::string& prefix, int64_t head_dim) {
  for (const char* key : {"rope.dimension_count", "attention.value_length"}) {
    const int64_t found = metadata.integer(prefix + key, head_dim);
    ASHLAR_CHECK(found == head_dim, "{}: {}{} is {}, wanted the head's size {}", metadata.where(),
                 prefix, key, found, head_dim);
  }
}

std::string stored_dtype(const GgufReader& file) {
  std::map<DType, int64_t> elements;
  for (const std::string& name : file.names()) {
    const formats::GgufTensor& tensor = file.entry(name);
    elements[tensor.dtype] += tensor.shape.elements();
  }
  const auto most =
      std::ranges::max_element(elements, {}, [](const auto& entry) { return entry.second; });
  if (most == elements.end()) return "float32";
  return most->first == DType::kF16    ? "float16"
         : most->first == DType::kBF16 ? "bfloat16"
                                       : "float32";
}

}  // namespace

models::DecoderConfig gguf_config(const GgufReader& file) {
  const GgufMetadata& metadata = file.metadata();
  const GgufFamily& family = gguf_family(metadata);
  const std::string prefix = std::string(family.architecture) + ".";
  check_keys(metadata, family, prefix);
  ordered_json config{{"model_type", family.model_type}};
  for (const GgufKey& key : family.keys) {
    const std::string name = prefix + std::string(key.suffix);
    if (metadata.contains(name))
      config[std::string(key.config)] = read_key(metadata, name, key.kind);
  }
  ASHLAR_CHECK(file.contains("token_embd.weight"), "gguf {}: tensor 'token_embd.weight' is missing",
               file.path());
  config["vocab_size"] = file.entry("token_embd.weight").shape[0];
  config["tie_word_embeddings"] = !file.contains("output.weight");
  config["torch_dtype"] = stored_dtype(file);
  if (family.model_type == "llama") {
    config["attention_bias"] = file.contains("blk.0.attn_q.bias");
    config["mlp_bias"] = file.contains("blk.0.ffn_gate.bias");
  }
  if (const ordered_json scaling = rope_scaling(file, prefix, config); !scaling.is_null()) {
    config["rope_scaling"] = scaling;
  }
  const GenerationConfig generation = gguf_generation(metadata);
  if (generation.bos) config["bos_token_id"] = *generation.bos;
  if (!generation.eos.empty()) config["eos_token_id"] = generation.eos;
  models::DecoderConfig parsed = models::parse_config(config.dump(), metadata.where());
  check_heads(metadata, prefix, parsed.head_dim);
  return parsed.without_dropout();  // whose rates the format does not have
}

std::vector<models::WeightRule> gguf_rules(const models::DecoderConfig& config) {
  const GgufFamily& family = gguf_family(config.family);
  std::vector<models::WeightRule> rules;
  std::set<std::string> stacked;
  for (models::WeightRule rule : models::weight_rules(config)) {
    rule.tensor = gguf_tensor_name(config.family, rule.tensor);
    rule.transpose = false;
    if (rule.index && !stacked.insert(rule.tensor).second) continue;
    rule.index.reset();
    const auto is_of = [&](std::string_view name) {
      return rule.tensor.find(fmt::format(".{}.", name)) != std::string::npos;
    };
    if (family.paired_rotary && is_of("attn_q")) rule.paired_heads = config.heads;
    if (family.paired_rotary && is_of("attn_k")) rule.paired_heads = config.kv_heads;
    if (rule.tensor.find("norm.weight") != std::string::npos) rule.added = family.norm_added;
    rules.push_back(std::move(rule));
  }
  return rules;
}

Weights gguf_weights(std::shared_ptr<const GgufReader> file, const models::DecoderConfig& config) {
  return {std::move(file), gguf_rules(config), "the metadata", "", {kRopeFreqs}};
}

GenerationConfig gguf_generation(const GgufMetadata& metadata) {
  GenerationConfig result;
  const auto id = [&](const char* name) -> std::optional<int64_t> {
    const std::string key = fmt::format("tokenizer.ggml.{}_token_id", name);
    if (!metadata.contains(key)) return std::nullopt;
    return metadata.integer(key);
  };
  result.bos = id("bos");
  result.pad = id("padding");
  for (const char* name : {"eos", "eot", "eom"}) {
    const auto end = id(name);
    if (end && std::ranges::count(result.eos, *end) == 0) result.eos.push_back(*end);
  }
  // Tokens that end a turn in the templates of today, for files that name one end only.
  constexpr std::string_view kEnds[] = {"<|eot_id|>",    "<|im_end|>", "<|end|>",
                                        "<end_of_turn>", "<|eom_id|>", "<|endoftext|>"};
  const std::vector<std::string>& tokens = metadata.texts("tokenizer.ggml.tokens");
  const std::vector<int64_t>& kinds = metadata.integers("tokenizer.ggml.token_type");
  constexpr int64_t kControl = 3;
  for (size_t i = 0; i < std::min(tokens.size(), kinds.size()); ++i) {
    const auto end = static_cast<int64_t>(i);
    if (kinds[i] != kControl || std::ranges::count(kEnds, tokens[i]) == 0) continue;
    if (std::ranges::count(result.eos, end) == 0) result.eos.push_back(end);
  }
  return result;
}

void describe_model(const models::DecoderConfig& config, GgufMetadata& metadata) {
  const GgufFamily& family = gguf_family(config.family);
  // What an architecture computes in one way only, and has no key for.
  const models::DecoderConfig usual = models::find_family(config.family).blank();
  ASHLAR_CHECK(config.activation == usual.activation,
               "gguf: architecture {} has no key for another activation than {}'s usual one",
               family.architecture, config.family);
  ASHLAR_CHECK(
      config.mixture.experts == 0 || config.mixture.renormalise == usual.mixture.renormalise,
      "gguf: architecture {} has no key for weights of experts that do not sum to 1",
      family.architecture);
  const std::string prefix = std::string(family.architecture) + ".";
  const auto written = ordered_json::parse(models::write_config(config));
  for (const GgufKey& key : family.keys) {
    const auto value = written.find(std::string(key.config));
    if (value == written.end() || value->is_null()) continue;
    const std::string name = prefix + std::string(key.suffix);
    if (key.kind == GgufKey::Kind::kInteger) metadata.set_u32(name, value->get<int64_t>());
    if (key.kind == GgufKey::Kind::kReal) metadata.set_f32(name, value->get<double>());
    if (key.kind == GgufKey::Kind::kFlag) metadata.set(name, value->get<bool>());
  }
  metadata.set_u32(prefix + "vocab_size", config.vocab);
  if (config.positions != models::Positions::kRotary) return;
  metadata.set_u32(prefix + "attention.value_length", config.head_dim);
  metadata.set_u32(prefix + "rope.dimension_count", config.rope.rotary_dim);
  if (config.rope.scaling == models::RopeScaling::kLinear) {
    metadata.set(prefix + "rope.scaling.type", "linear");
    metadata.set_f32(prefix + "rope.scaling.factor", config.rope.factor);
  }
}

}  // namespace ashlar::bundle
