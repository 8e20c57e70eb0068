// Latent attention (DeepSeek V2 and V3) in GGUF's architecture deepseek2: its keys, and the sizes
// of keys and values, which files of today give twice: of what is cached, and of a head ("_mla").
#pragma once

#include "ashlar/bundle/gguf_facts.h"
#include "ashlar/bundle/gguf_families.h"

#include <string>
#include <string_view>

namespace ashlar::bundle {

inline constexpr GgufKey kLatentV3Keys[] = {
    {"expert_group_count", "n_group", GgufKey::Kind::kInteger, "1"},
    {"expert_group_used_count", "topk_group", GgufKey::Kind::kInteger, "1"},
    {"expert_weights_norm", "norm_topk_prob", GgufKey::Kind::kFlag, "false"},
    {"attention.kv_lora_rank", "kv_lora_rank"},
    {"leading_dense_block_count", "first_k_dense_replace", GgufKey::Kind::kInteger, "0"},
    {"expert_count", "n_routed_experts"},
    {"expert_used_count", "num_experts_per_tok"},
    {"expert_feed_forward_length", "moe_intermediate_size"},
    {"expert_shared_count", "n_shared_experts"},
    {"expert_weights_scale", "routed_scaling_factor", GgufKey::Kind::kReal, "1.0"},
};
inline constexpr std::span<const GgufKey> kLatentV2Keys = std::span(kLatentV3Keys).subspan<3>();

// Further keys of the metadata, read by the functions below.
inline constexpr std::string_view kLatentOthers[] = {
    "attention.q_lora_rank",      "attention.key_length_mla", "expert_gating_func",
    "attention.value_length_mla", "expert_group_count",       "rope.scaling.yarn_log_multiplier",
    "expert_group_used_count",    "expert_weights_norm",
};

bool routes_by_sigmoids(const formats::GgufMetadata& metadata);
ConfigKeys read_latent_v2(const GgufFacts& facts, const std::string& prefix);
ConfigKeys read_latent_v3(const GgufFacts& facts, const std::string& prefix);
void write_latent(const models::DecoderConfig& config, const std::string& prefix,
                  formats::GgufMetadata& metadata);

}  // namespace ashlar::bundle
