#include "ashlar/bundle/gguf_families.h"

#include "ashlar/base/error.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <array>
#include <set>
#include <vector>

namespace ashlar::bundle {
namespace {

using Kind = GgufKey::Kind;

// Of LLaMA and what follows it.
constexpr GgufKey kLlamaKeys[] = {
    {"context_length", "max_position_embeddings"},
    {"embedding_length", "hidden_size"},
    {"block_count", "num_hidden_layers"},
    {"feed_forward_length", "intermediate_size"},
    {"attention.head_count", "num_attention_heads"},
    {"attention.head_count_kv", "num_key_value_heads"},
    {"attention.key_length", "head_dim"},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps", Kind::kReal},
    {"rope.freq_base", "rope_theta", Kind::kReal},
};

constexpr GgufKey kMixtralKeys[] = {
    {"context_length", "max_position_embeddings"},
    {"embedding_length", "hidden_size"},
    {"block_count", "num_hidden_layers"},
    {"feed_forward_length", "intermediate_size"},
    {"attention.head_count", "num_attention_heads"},
    {"attention.head_count_kv", "num_key_value_heads"},
    {"attention.key_length", "head_dim"},
    {"attention.layer_norm_rms_epsilon", "rms_norm_eps", Kind::kReal},
    {"rope.freq_base", "rope_theta", Kind::kReal},
    {"attention.sliding_window", "sliding_window"},
    {"expert_count", "num_local_experts"},
    {"expert_used_count", "num_experts_per_tok"},
};

constexpr GgufKey kGpt2Keys[] = {
    {"context_length", "n_positions"},
    {"embedding_length", "n_embd"},
    {"block_count", "n_layer"},
    {"feed_forward_length", "n_inner"},
    {"attention.head_count", "n_head"},
    {"attention.layer_norm_epsilon", "layer_norm_epsilon", Kind::kReal},
};

constexpr GgufFamily kFamilies[] = {
    {.architecture = "llama",
     .model_type = "mixtral",
     .keys = kMixtralKeys,
     .paired_rotary = true,
     .experts = true},
    {.architecture = "llama", .model_type = "llama", .keys = kLlamaKeys, .paired_rotary = true},
    {.architecture = "gpt2", .model_type = "gpt2", .keys = kGpt2Keys},
};

struct TensorName {
  std::string_view theirs, ours;
};

// Outside of the layers.
constexpr TensorName kWholeNames[] = {
    {"model.embed_tokens", "token_embd"}, {"transformer.wte", "token_embd"},
    {"transformer.wpe", "position_embd"}, {"model.norm", "output_norm"},
    {"transformer.ln_f", "output_norm"},  {"lm_head", "output"},
};

constexpr std::string_view kLayerPrefixes[] = {"model.layers.", "transformer.h."};

// Behind the layer's number.
constexpr TensorName kLayerNames[] = {
    {"input_layernorm", "attn_norm"},
    {"ln_1", "attn_norm"},
    {"self_attn.q_proj", "attn_q"},
    {"self_attn.k_proj", "attn_k"},
    {"self_attn.v_proj", "attn_v"},
    {"self_attn.qkv_proj", "attn_qkv"},
    {"attn.c_attn", "attn_qkv"},
    {"self_attn.o_proj", "attn_output"},
    {"attn.c_proj", "attn_output"},
    {"self_attn.q_norm", "attn_q_norm"},
    {"self_attn.k_norm", "attn_k_norm"},
    {"post_attention_layernorm", "ffn_norm"},
    {"ln_2", "ffn_norm"},
    {"mlp.gate_proj", "ffn_gate"},
    {"mlp.up_proj", "ffn_up"},
    {"mlp.gate_up_proj", "ffn_up"},
    {"mlp.c_fc", "ffn_up"},
    {"mlp.down_proj", "ffn_down"},
    {"mlp.c_proj", "ffn_down"},
    {"block_sparse_moe.gate", "ffn_gate_inp"},
    {"block_sparse_moe.experts.w1", "ffn_gate_exps"},
    {"block_sparse_moe.experts.w2", "ffn_down_exps"},
    {"block_sparse_moe.experts.w3", "ffn_up_exps"},
};

const TensorName* find(std::span<const TensorName> names, std::string_view theirs) {
  const auto found = std::ranges::find(names, theirs, &TensorName::theirs);
  return found == names.end() ? nullptr : &*found;
}

std::string_view take_number(std::string_view& text) {
  const size_t digits = std::min(text.find_first_not_of("0123456789"), text.size());
  const std::string_view number = text.substr(0, digits);
  text.remove_prefix(digits);
  return number;
}

// "experts.7.w1" without its number.
std::string without_expert(std::string_view name) {
  constexpr std::string_view kExperts = "experts.";
  const size_t at = name.find(kExperts);
  if (at == std::string_view::npos) return std::string(name);
  std::string_view rest = name.substr(at + kExperts.size());
  if (take_number(rest).empty() || !rest.starts_with('.')) return std::string(name);
  return std::string(name.substr(0, at + kExperts.size())) + std::string(rest.substr(1));
}

}  // namespace

std::span<const GgufFamily> gguf_families() { return kFamilies; }

const GgufFamily& gguf_family(const formats::GgufMetadata& metadata) {
  const std::string& architecture = metadata.text("general.architecture");
  const bool experts = metadata.integer(architecture + ".expert_count", 0) > 0;
  std::set<std::string_view> known;
  bool found = false;
  for (const GgufFamily& family : kFamilies) {
    known.insert(family.architecture);
    if (family.architecture != architecture) continue;
    found = true;
    if (family.experts == experts) return family;
  }
  ASHLAR_CHECK(!found, "{}: architecture {} {} experts is not known", metadata.where(),
               architecture, experts ? "with" : "without");
  fail("{}: architecture '{}' is not known; known are {}", metadata.where(), architecture,
       fmt::join(known, ", "));
}

const GgufFamily& gguf_family(const std::string& model_type) {
  std::vector<std::string_view> known;
  for (const GgufFamily& family : kFamilies) {
    if (family.model_type == model_type) return family;
    known.push_back(family.model_type);
  }
  fail("gguf: the family {} cannot be written; known are {}", model_type, fmt::join(known, ", "));
}

std::string gguf_tensor_name(std::string_view model_type, std::string_view tensor) {
  std::string_view stem = tensor, part;
  for (const std::string_view end : {".weight", ".bias"}) {
    if (!tensor.ends_with(end)) continue;
    stem.remove_suffix(end.size());
    part = end;
  }
  if (const TensorName* whole = find(kWholeNames, stem))
    return std::string(whole->ours) + std::string(part);
  for (const std::string_view prefix : kLayerPrefixes) {
    if (!stem.starts_with(prefix)) continue;
    std::string_view rest = stem.substr(prefix.size());
    const std::string_view layer = take_number(rest);
    if (layer.empty() || !rest.starts_with('.')) continue;
    if (const TensorName* name = find(kLayerNames, without_expert(rest.substr(1)))) {
      return fmt::format("blk.{}.{}{}", layer, name->ours, part);
    }
  }
  fail("gguf: tensor '{}' of the family {} has no name there", tensor, model_type);
}

}  // namespace ashlar::bundle
