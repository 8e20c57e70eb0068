#include "ashlar/bundle/gguf_names.h"

#include "ashlar/base/error.h"
#include "ashlar/models/max_layers.h"

#include <fmt/format.h>

#include <algorithm>
#include <iterator>
#include <map>
#include <set>

namespace ashlar::bundle {
namespace {

using models::WeightRule;

struct TensorName {
  std::string_view ours, theirs;
};

// Outside of the layers, without ".weight" and ".bias".
constexpr TensorName kWholeNames[] = {
    {"embed", "token_embd"},        {"positions", "position_embd"},
    {"token_types", "token_types"}, {"embed_norm", "token_embd_norm"},
    {"final_norm", "output_norm"},  {"head", "output"},
};

// Behind the layer's number.
constexpr TensorName kLayerNames[] = {
    {"attn_norm", "attn_norm"},
    {"attn.q", "attn_q"},
    {"attn.k", "attn_k"},
    {"attn.v", "attn_v"},
    {"attn.o", "attn_output"},
    {"attn.q_norm", "attn_q_norm"},
    {"attn.k_norm", "attn_k_norm"},
    {"attn.post_norm", "post_attention_norm"},
    {"attn.q_a", "attn_q_a"},
    {"attn.q_a_norm", "attn_q_a_norm"},
    {"attn.q_b", "attn_q_b"},
    {"attn.kv_a", "attn_kv_a_mqa"},
    {"attn.k_rope", "attn_kv_a_mqa"},
    {"attn.kv_a_norm", "attn_kv_a_norm"},
    {"attn.kv_b", "attn_kv_b"},
    {"mlp_norm", "ffn_norm"},
    {"mlp.gate", "ffn_gate"},
    {"mlp.up", "ffn_up"},
    {"mlp.down", "ffn_down"},
    {"mlp.post_norm", "post_ffw_norm"},
    {"mlp.router", "ffn_gate_inp"},
    {"mlp.router.correction", "exp_probs_b.bias"},
    {"mlp.experts.gate", "ffn_gate_exps"},
    {"mlp.experts.up", "ffn_up_exps"},
    {"mlp.experts.down", "ffn_down_exps"},
    {"mlp.shared.gate", "ffn_gate_shexp"},
    {"mlp.shared.up", "ffn_up_shexp"},
    {"mlp.shared.down", "ffn_down_shexp"},
    {"mlp.shared.choice", "ffn_gate_inp_shexp"},
};

const TensorName* find(std::span<const TensorName> names, std::string_view ours) {
  const auto found = std::ranges::find(names, ours, &TensorName::ours);
  return found == names.end() ? nullptr : &*found;
}

// What families have under another name, or several parameters in one tensor.
std::string name_in_family(const models::DecoderConfig& config, const GgufFamily& family,
                           bool merged_qkv, const std::string& parameter) {
  std::string name = gguf_tensor_name(parameter);
  const auto rename = [&](std::string_view from, std::string_view to) {
    const size_t at = name.find(fmt::format(".{}.", from));
    if (at == std::string::npos) return false;
    name.replace(at + 1, from.size(), to);
    return true;
  };
  if (merged_qkv) {
    for (const char* part : {"attn_q", "attn_k", "attn_v"}) rename(part, "attn_qkv");
  }
  if (family.merged_gate) rename("ffn_gate", "ffn_up");
  if (family.architecture == "falcon" && config.mlp_input == models::MlpInput::kLayer) {
    rename("attn_norm", "attn_norm_2") || rename("ffn_norm", "attn_norm");
  }
  return name;
}

}  // namespace

std::string gguf_tensor_name(std::string_view parameter) {
  constexpr std::string_view kLayers = "layers.";
  std::string_view stem = parameter, part;
  for (const std::string_view end : {".weight", ".bias"}) {
    if (!parameter.ends_with(end)) continue;
    stem.remove_suffix(end.size());
    part = end;
  }
  if (const TensorName* whole = find(kWholeNames, stem))
    return fmt::format("{}{}", whole->theirs, part);
  if (stem.starts_with(kLayers)) {
    stem.remove_prefix(kLayers.size());
    const size_t digits = std::min(stem.find_first_not_of("0123456789"), stem.size());
    if (digits > 0 && digits + 1 < stem.size()) {
      if (const TensorName* name = find(kLayerNames, stem.substr(digits + 1))) {
        return fmt::format("blk.{}.{}{}", stem.substr(0, digits), name->theirs, part);
      }
    }
  }
  fail("gguf: parameter '{}' has no name there", parameter);
}

std::vector<WeightRule> gguf_rules(const models::DecoderConfig& config, bool merged_qkv) {
  const GgufFamily& family = gguf_family(config.family);
  std::vector<WeightRule> rules;
  std::map<std::string, size_t> places;  // of tensors among the rules
  std::set<std::string> seen;
  for (const WeightRule& theirs : models::weight_rules(config)) {
    for (const std::string& parameter : theirs.parameters) {
      if (!seen.insert(parameter).second) continue;  // an expert of several
      const std::string name = name_in_family(config, family, merged_qkv, parameter);
      const auto [place, fresh] = places.emplace(name, rules.size());
      if (fresh) rules.push_back({.tensor = name, .parameters = {}});
      rules[place->second].parameters.push_back(parameter);
    }
  }
  for (WeightRule& rule : rules) {
    const auto is_of = [&](std::string_view name) {
      return rule.tensor.find(fmt::format(".{}.", name)) != std::string::npos;
    };
    if (family.paired_rotary && is_of("attn_q")) rule.paired_heads = config.heads;
    if (family.paired_rotary && is_of("attn_k")) rule.paired_heads = config.kv_heads;
    if (rule.tensor.ends_with("norm.weight")) rule.added = family.norm_added;
  }
  return rules;
}

int64_t layer_count(const formats::GgufMetadata& metadata, const std::string& prefix) {
  const int64_t layers = metadata.integer(prefix + "block_count");
  ASHLAR_CHECK(layers >= 1 && layers <= models::kMaxLayers,
               "{}: {}block_count is {}, wanted 1 to {}", metadata.where(), prefix, layers,
               models::kMaxLayers);
  return layers;
}

void check_layers(const formats::GgufReader& file, std::string_view architecture, int64_t layers) {
  ASHLAR_CHECK(layers <= std::ssize(file.names()),
               "{}: {}.block_count is {}, but the file has only {} tensors",
               file.metadata().where(), architecture, layers, file.names().size());
}

}  // namespace ashlar::bundle
