// A description as the metadata of a GGUF file, and whether the file says it fully.
#include "ashlar/base/error.h"
#include "ashlar/bundle/gguf_families.h"
#include "ashlar/bundle/gguf_model.h"
#include "ashlar/bundle/gguf_rope.h"
#include "ashlar/bundle/gguf_windows.h"

#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>

namespace ashlar::bundle {
namespace {

using formats::GgufMetadata;
using nlohmann::ordered_json;

// Numbers that are the same once they have been f32.
bool is_same(const ordered_json& a, const ordered_json& b) {
  if (a.is_number() && b.is_number()) {
    const double x = a.get<double>(), y = b.get<double>();
    return std::abs(x - y) <= 1e-6 * std::max(std::abs(x), std::abs(y));
  }
  if (a.is_object() && b.is_object()) {
    for (const auto& [key, value] : a.items()) {
      if (!b.contains(key) || !is_same(value, b[key])) return false;
    }
    return a.size() == b.size();
  }
  if (a.is_array() && b.is_array() && a.size() == b.size()) {
    for (size_t i = 0; i < a.size(); ++i) {
      if (!is_same(a[i], b[i])) return false;
    }
    return true;
  }
  return a == b;
}

// Without what only training or a folder knows. dynamic differs beyond the model's positions only,
// and of Llama 3's scalings that are the same one stands for all.
ordered_json described(models::DecoderConfig config, const models::DecoderConfig& like) {
  config = config.as_inference();
  config.family = like.family;
  config.initializer_range = 0;
  config.mixture.coefficient = 0;
  config.dtype = DType::kF32;
  config.bos.reset();
  config.eos.clear();
  if (config.rope.scaling == models::RopeScaling::kDynamic) {
    config.rope.scaling = models::RopeScaling::kDefault;
  }
  if (config.rope.scaling == like.rope.scaling &&
      config.rope.scaling == models::RopeScaling::kLlama3) {
    config.rope = like.rope;
  }
  return ordered_json::parse(models::write_config(config));
}

}  // namespace

void describe_model(const models::DecoderConfig& config, GgufMetadata& metadata) {
  const GgufFamily& family = gguf_family(config.family);
  const std::string prefix = std::string(family.architecture) + ".";
  ASHLAR_CHECK(!family.square || config.head_dim * config.heads == config.width,
               "gguf: architecture {} has heads of width / heads channels only; here {} heads of a "
               "width of {} have {}",
               family.architecture, config.heads, config.width, config.head_dim);
  ASHLAR_CHECK(!family.head_tied || config.tied_head,
               "gguf: architecture {} has no head but the embedding, this model has one",
               family.architecture);
  metadata.set_u32(prefix + "vocab_size", config.vocab);
  metadata.set_u32(prefix + "context_length", config.max_positions);
  metadata.set_u32(prefix + "embedding_length", config.width);
  metadata.set_u32(prefix + "block_count", config.layers);
  metadata.set_u32(prefix + "feed_forward_length", config.ffn);
  metadata.set_u32(prefix + "attention.head_count", config.heads);
  metadata.set_f32(prefix + gguf_norm_eps_key(family), config.norm_eps);
  if (!config.latent.enabled) {
    metadata.set_u32(prefix + "attention.head_count_kv", config.kv_heads);
    metadata.set_u32(prefix + "attention.key_length", config.head_dim);
    metadata.set_u32(prefix + "attention.value_length", config.head_dim);
  }
  const auto written = ordered_json::parse(models::write_config(config));
  for (const GgufKey& key : family.keys) {
    const auto value = written.find(std::string(key.config));
    if (value == written.end() || value->is_null()) continue;
    const std::string name = prefix + std::string(key.suffix);
    if (key.kind == GgufKey::Kind::kInteger) metadata.set_u32(name, value->get<int64_t>());
    if (key.kind == GgufKey::Kind::kReal) metadata.set_f32(name, value->get<double>());
    if (key.kind == GgufKey::Kind::kFlag) metadata.set(name, value->get<bool>());
  }
  write_gguf_windows(config, family, prefix, metadata);
  if (config.positions == models::Positions::kRotary) {
    write_gguf_rope(config, family, prefix, metadata);
  }
  if (family.write != nullptr) family.write(config, prefix, metadata);
}

void check_described(const models::DecoderConfig& config, const GgufFacts& facts) {
  const GgufFamily& family = gguf_family(config.family);
  models::DecoderConfig said = gguf_config(facts);
  // Where the head is written again.
  if (family.head_required) said.tied_head = config.tied_head;
  check_said(family.architecture, described(config, config).dump(), described(said, config).dump());
}

void check_said(std::string_view architecture, const std::string& ours, const std::string& said) {
  const ordered_json mine = ordered_json::parse(ours), theirs = ordered_json::parse(said);
  for (const auto& [key, value] : mine.items()) {
    const ordered_json other = theirs.contains(key) ? theirs[key] : ordered_json();
    ASHLAR_CHECK(is_same(value, other),
                 "gguf: architecture {} cannot say config.json's {} = {}; its files mean {}",
                 architecture, key, value.dump(), other.dump());
  }
}

}  // namespace ashlar::bundle
