#include "ashlar/bundle/gguf_model.h"

#include "ashlar/base/error.h"
#include "ashlar/bundle/gguf_families.h"
#include "ashlar/bundle/gguf_names.h"
#include "ashlar/bundle/gguf_rope.h"
#include "ashlar/bundle/gguf_tensors.h"
#include "ashlar/bundle/gguf_windows.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <map>
#include <optional>

namespace ashlar::bundle {
namespace {

using formats::GgufMetadata;
using formats::GgufReader;
using nlohmann::ordered_json;

// Keys behind "ARCHITECTURE." that every architecture has, or that change nothing.
constexpr std::string_view kCommonKeys[] = {
    "vocab_size",
    "context_length",
    "embedding_length",
    "block_count",
    "feed_forward_length",
    "attention.head_count",
    "attention.head_count_kv",
    "attention.key_length",
    "attention.value_length",
    "attention.layer_norm_epsilon",
    "attention.layer_norm_rms_epsilon",
    "attention.causal",
    "tensor_data_layout",
    "pooling_type",
    "expert_count",
    "expert_used_count",
};

// Keys that not every architecture has, and the value at which they say nothing.
constexpr std::pair<std::string_view, int64_t> kNeutral[] = {
    {"attention.sliding_window", 0},
    {"expert_gating_func", 1},  // softmax
    {"leading_dense_block_count", 0},
    {"nextn_predict_layers", 0},
};

bool says_nothing(std::string_view suffix, const formats::GgufValue& value) {
  const auto found =
      std::ranges::find(kNeutral, suffix, &std::pair<std::string_view, int64_t>::first);
  return found != std::end(kNeutral) && value.str() == std::to_string(found->second);
}

void check_keys(const GgufMetadata& metadata, const GgufFamily& family, const std::string& prefix) {
  const auto has = [](const auto& list, std::string_view suffix) {
    return std::ranges::count(list, suffix) > 0;
  };
  for (const auto& [key, value] : metadata.entries()) {
    if (!key.starts_with(prefix)) continue;
    const std::string_view suffix = std::string_view(key).substr(prefix.size());
    const bool known = has(kCommonKeys, suffix) || has(gguf_rope_keys(), suffix) ||
                       (family.windows.any && has(kGgufWindowKeys, suffix)) ||
                       has(family.others, suffix) || says_nothing(suffix, value) ||
                       std::ranges::count(family.keys, suffix, &GgufKey::suffix) > 0;
    ASHLAR_CHECK(known, "{}: key '{}' (= {}) is not understood", metadata.where(), key,
                 value.str());
  }
  ASHLAR_CHECK(metadata.flag(prefix + "attention.causal", true),
               "{}: {}attention.causal = false is not supported", metadata.where(), prefix);
  const bool rotates = metadata.flag(prefix + "rope.scaling.finetuned", true);
  ASHLAR_CHECK(rotates || family.architecture != "granite",
               "{}: {}rope.scaling.finetuned = false (no positions) is not supported",
               metadata.where(), prefix);
}

bool is_rotary(const GgufFamily& family) {
  return models::find_family(std::string(family.model_type)).blank().positions ==
         models::Positions::kRotary;
}

bool is_latent(const GgufFamily& family) {
  return models::find_family(std::string(family.model_type)).blank().latent.enabled;
}

ordered_json value_of(const GgufMetadata& metadata, const std::string& key, GgufKey::Kind kind) {
  switch (kind) {
    case GgufKey::Kind::kInteger:
      return metadata.integer(key);
    case GgufKey::Kind::kReal:
      return ordered_json::parse(json_number(metadata.number(key)));
    case GgufKey::Kind::kFlag:
      return metadata.flag(key, false);
  }
  return nullptr;
}

// The sizes, under the family's names for them. Returns the channels of a head.
int64_t read_sizes(const GgufMetadata& metadata, const GgufFamily& family,
                   const std::string& prefix, ordered_json& config) {
  const GgufSizes& names = family.sizes;
  const auto put = [&](std::string_view name, int64_t value) {
    if (!name.empty()) config[std::string(name)] = value;
  };
  const int64_t layers = layer_count(metadata, prefix);
  const int64_t width = metadata.integer(prefix + "embedding_length");
  const int64_t heads = metadata.uniform(prefix + "attention.head_count");
  const int64_t head_dim =
      metadata.integer(prefix + "attention.key_length", width / std::max<int64_t>(heads, 1));
  put(names.context, metadata.integer(prefix + "context_length"));
  put(names.width, width);
  put(names.layers, layers);
  put(names.ffn, metadata.uniform(prefix + "feed_forward_length"));
  put(names.heads, heads);
  put(names.kv_heads, metadata.uniform(prefix + "attention.head_count_kv", heads));
  put(names.head_dim, head_dim);
  const std::string eps = prefix + gguf_norm_eps_key(family);
  config[std::string(names.norm_eps)] = ordered_json::parse(json_number(metadata.number(eps)));
  return head_dim;
}

void read_keys(const GgufFacts& facts, const GgufFamily& family, const std::string& prefix,
               ordered_json& config) {
  const GgufMetadata& metadata = facts.metadata;
  for (const GgufKey& key : family.keys) {
    const std::string name = prefix + std::string(key.suffix);
    if (metadata.contains(name)) {
      config[std::string(key.config)] = value_of(metadata, name, key.kind);
    } else if (!key.absent.empty()) {
      config[std::string(key.config)] = ordered_json::parse(key.absent);
    }
  }
  for (const GgufPresence& presence : family.presences) {
    const bool there = facts.has(std::string(presence.tensor));
    config[std::string(presence.config)] = there == presence.present;
  }
}

// Sizes that the family's config.json has no key for.
void check_heads(const GgufMetadata& metadata, const models::DecoderConfig& config,
                 const std::string& prefix) {
  if (config.latent.enabled) return;
  const auto check = [&](const char* key, int64_t ours, const char* what) {
    const int64_t found = metadata.uniform(prefix + key, ours);
    ASHLAR_CHECK(found == ours, "{}: {}{} is {}, wanted {} {}", metadata.where(), prefix, key,
                 found, what, ours);
  };
  check("attention.head_count_kv", config.kv_heads, "as many heads as the family has,");
  check("attention.key_length", config.head_dim, "the head's size");
  check("attention.value_length", config.head_dim, "the head's size");
}

DType stored_dtype(const GgufReader& file) {
  std::map<DType, int64_t> elements;
  for (const std::string& name : file.names()) {
    const formats::GgufTensor& tensor = file.entry(name);
    elements[tensor.dtype] += tensor.shape.elements();
  }
  const auto most =
      std::ranges::max_element(elements, {}, [](const auto& entry) { return entry.second; });
  const bool half =
      most != elements.end() && (most->first == DType::kF16 || most->first == DType::kBF16);
  return half ? most->first : DType::kF32;
}

}  // namespace

models::DecoderConfig gguf_config(const GgufFacts& facts) {
  const GgufMetadata& metadata = facts.metadata;
  const GgufFamily& family = gguf_family(metadata);
  const std::string prefix = std::string(family.architecture) + ".";
  check_keys(metadata, family, prefix);
  ordered_json config{{"model_type", family.model_type}};
  const auto put = [&](const ConfigKeys& keys) {
    for (const auto& [key, value] : keys) config[key] = ordered_json::parse(value);
  };
  const int64_t head_dim = read_sizes(metadata, family, prefix, config);
  read_keys(facts, family, prefix, config);
  put(read_gguf_windows(facts, family.windows, prefix));
  if (is_rotary(family)) {
    const int64_t rotary = metadata.integer(prefix + "rope.dimension_count", head_dim);
    // Latent attention's heads are wider than what rotates of them.
    const int64_t channels = is_latent(family) ? rotary : head_dim;
    ASHLAR_CHECK(family.partial_rotary || rotary == channels,
                 "{}: {}rope.dimension_count is {}, wanted the head's size {}", metadata.where(),
                 prefix, rotary, channels);
    ASHLAR_CHECK(channels >= 1,
                 "{}: {}embedding_length, attention.head_count and attention.key_length make heads "
                 "of size {}, wanted 1 or more",
                 metadata.where(), prefix, channels);
    const RopeSizes sizes{channels, metadata.integer(prefix + "context_length")};
    put(read_gguf_rope(facts, family, prefix, sizes));
  }
  if (family.read != nullptr) put(family.read(facts, prefix));
  const formats::TensorSpec* const embedding = facts.tensor("token_embd.weight");
  ASHLAR_CHECK(embedding != nullptr && embedding->shape.rank() == 2,
               "{}: tensor 'token_embd.weight' is missing or no matrix", metadata.where());
  config["vocab_size"] = embedding->shape[0];
  config["tie_word_embeddings"] = !facts.has("output.weight");
  const GenerationConfig generation = gguf_generation(metadata);
  if (generation.bos) config["bos_token_id"] = *generation.bos;
  if (!generation.eos.empty()) config["eos_token_id"] = generation.eos;
  models::DecoderConfig parsed = models::parse_config(
      config.dump(-1, ' ', false, ordered_json::error_handler_t::replace), metadata.where());
  check_heads(metadata, parsed, prefix);
  return parsed.without_dropout();  // whose rates the format does not have
}

models::DecoderConfig gguf_config(const GgufReader& file) {
  const GgufFacts facts{file.metadata(),
                        [&](const std::string& name) -> const formats::TensorSpec* {
                          return file.contains(name) ? &file.entry(name) : nullptr;
                        },
                        [&](const std::string& name) {
                          const Tensor values = file.tensor(name).to(DType::kF32);
                          return std::vector<float>(values.span<float>().begin(),
                                                    values.span<float>().end());
                        }};
  models::DecoderConfig config = gguf_config(facts);
  config.dtype = stored_dtype(file);
  return config;
}

Weights gguf_weights(std::shared_ptr<const GgufReader> file, const models::DecoderConfig& config) {
  const GgufFamily& family = gguf_family(config.family);
  check_layers(*file, family.architecture, config.layers);
  const bool merged = !family.paired_rotary && file->contains("blk.0.attn_qkv.weight");
  return {std::make_shared<const GgufTensors>(std::move(file)), gguf_rules(config, merged),
          "the metadata", "", gguf_rope_tensor_names()};
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
  read_gguf_sampling(metadata, result);
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

}  // namespace ashlar::bundle
