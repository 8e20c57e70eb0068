#include "ashlar/bundle/gguf_latent.h"

#include "ashlar/base/error.h"
#include "ashlar/base/log.h"

namespace ashlar::bundle {
namespace {

using formats::GgufMetadata;

constexpr int64_t kBySoftmax = 1, kBySigmoids = 2;  // of expert_gating_func
constexpr double kLogMultiplier = 0.1;              // yarn_log_multiplier over mscale_all_dim

int64_t gating(const GgufMetadata& metadata) {
  return metadata.integer("deepseek2.expert_gating_func", kBySoftmax);
}

// Sizes of a head, whether keys and values of all heads are one tensor or two.
ConfigKeys read_sizes(const GgufFacts& facts, const std::string& prefix) {
  const GgufMetadata& keys = facts.metadata;
  const auto size = [&](const std::string& name) {
    const std::string mla = prefix + name + "_mla";
    return keys.contains(mla) ? keys.integer(mla) : keys.integer(prefix + name);
  };
  const int64_t shared = keys.integer(prefix + "rope.dimension_count");
  const int64_t rank = keys.integer(prefix + "attention.q_lora_rank", 0);
  return {
      {"qk_rope_head_dim", std::to_string(shared)},
      {"qk_nope_head_dim", std::to_string(size("attention.key_length") - shared)},
      {"v_head_dim", std::to_string(size("attention.value_length"))},
      {"q_lora_rank", rank > 0 ? std::to_string(rank) : "null"},
  };
}

// llama.cpp takes mscale for mscale_all_dim, and scales scores otherwise where there is neither.
bool has_scales(const models::DecoderConfig& config) {
  const models::LatentConfig& latent = config.latent;
  return config.rope.scaling != models::RopeScaling::kYarn ||
         (latent.mscale == latent.mscale_all_dim && latent.mscale != 0);
}

}  // namespace

bool routes_by_sigmoids(const GgufMetadata& metadata) { return gating(metadata) == kBySigmoids; }

ConfigKeys read_latent_v3(const GgufFacts& facts, const std::string& prefix) {
  return read_sizes(facts, prefix);
}

ConfigKeys read_latent_v2(const GgufFacts& facts, const std::string& prefix) {
  const GgufMetadata& keys = facts.metadata;
  ASHLAR_CHECK(gating(keys) == kBySoftmax,
               "{}: deepseek2.expert_gating_func is {}, wanted 1 (softmax) or 2 (sigmoids)",
               keys.where(), gating(keys));
  ASHLAR_CHECK(!keys.flag(prefix + "expert_weights_norm", false),
               "{}: {}expert_weights_norm = true is not supported with a softmax", keys.where(),
               prefix);
  ConfigKeys config = read_sizes(facts, prefix);
  const int64_t groups = keys.integer(prefix + "expert_group_count", 1);
  if (groups > 1) {
    config.emplace_back("topk_method", R"("group_limited_greedy")");
    config.emplace_back("n_group", std::to_string(groups));
    config.emplace_back("topk_group",
                        std::to_string(keys.integer(prefix + "expert_group_used_count")));
  }
  return config;
}

void write_latent(const models::DecoderConfig& config, const std::string& prefix,
                  GgufMetadata& metadata) {
  const models::LatentConfig& latent = config.latent;
  const models::MixtureConfig& mixture = config.mixture;
  const bool sigmoids = mixture.score == kernels::RouteScore::kSigmoid;
  ASHLAR_CHECK(has_scales(config),
               "gguf: architecture deepseek2 has yarn with an mscale that is mscale_all_dim only; "
               "they are {} and {}",
               latent.mscale, latent.mscale_all_dim);
  if (!sigmoids && mixture.groups > 1) {
    log::warn("convert note=\"llama.cpp ranks groups of experts by their two best, {} by the one\"",
              config.family);
  }
  // Cached is one latent for all heads.
  metadata.set_u32(prefix + "attention.head_count_kv", 1);
  metadata.set_u32(prefix + "attention.key_length", latent.rank + latent.shared);
  metadata.set_u32(prefix + "attention.value_length", latent.rank);
  metadata.set_u32(prefix + "attention.key_length_mla", latent.key());
  metadata.set_u32(prefix + "attention.value_length_mla", latent.value);
  metadata.set_u32(prefix + "attention.q_lora_rank", latent.query_rank);
  metadata.set_u32(prefix + "expert_gating_func", sigmoids ? kBySigmoids : kBySoftmax);
  if (!sigmoids) {
    metadata.set_u32(prefix + "expert_group_count", mixture.groups);
    metadata.set_u32(prefix + "expert_group_used_count", mixture.top_groups);
  }
  if (config.rope.scaling == models::RopeScaling::kYarn) {
    metadata.set_f32(prefix + "rope.scaling.yarn_log_multiplier",
                     kLogMultiplier * latent.mscale_all_dim);
  }
}

}  // namespace ashlar::bundle
