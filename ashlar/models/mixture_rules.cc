#include "ashlar/models/mixture_rules.h"

#include "ashlar/models/llama.h"

#include <fmt/format.h>

namespace ashlar::models {
namespace {

constexpr const char* kMatrices[] = {"gate", "up", "down"};

void add_experts(const DecoderConfig& config, const std::string& theirs, const std::string& ours,
                 std::vector<WeightRule>& rules) {
  for (int64_t expert = 0; expert < config.mixture.experts; ++expert) {
    for (const char* name : kMatrices) {
      rules.push_back({.tensor = fmt::format("{}experts.{}.{}_proj.weight", theirs, expert, name),
                       .parameters = {fmt::format("{}experts.{}.weight", ours, name)},
                       .index = expert});
    }
  }
}

}  // namespace

void add_mixture_rules(const DecoderConfig& config, const std::string& shared,
                       std::vector<WeightRule>& rules) {
  const MixtureConfig& mixture = config.mixture;
  for (int64_t layer = 0; layer < config.layers; ++layer) {
    const std::string theirs = fmt::format("model.layers.{}.", layer);
    const std::string ours = fmt::format("layers.{}.", layer);
    if (!config.has_experts(layer)) {
      llama_mlp_rules(config, theirs, ours, rules);
      continue;
    }
    add_rules(theirs + "mlp.gate", ours + "mlp.router", false, rules);
    if (mixture.correction) {
      rules.push_back({.tensor = theirs + "mlp.gate.e_score_correction_bias",
                       .parameters = {ours + "mlp.router.correction"},
                       .f32 = true});
    }
    add_experts(config, theirs + "mlp.", ours + "mlp.", rules);
    if (mixture.shared_experts == 0) continue;
    for (const std::string name : kMatrices) {
      add_rules(theirs + shared + "." + name + "_proj", ours + "mlp.shared." + name,
                config.mlp_bias, rules);
    }
    if (mixture.shared_gate) {
      add_rules(theirs + shared + "_gate", ours + "mlp.shared.choice", false, rules);
    }
  }
}

void no_mlp_rules(const DecoderConfig&, const std::string&, const std::string&,
                  std::vector<WeightRule>&) {}

}  // namespace ashlar::models
