// How tokens are chosen, as flags of run and chat; what no flag says comes from the model's
// generation_config.json, then from our defaults.
#pragma once

#include "ashlar/bundle/generation_config.h"
#include "ashlar/generate/generator.h"

#include <CLI/CLI.hpp>

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

namespace ashlar::cli {

struct SamplingFlags {
  std::optional<double> temperature, top_p, min_p, repetition_penalty;
  std::optional<int64_t> top_k;
  std::optional<uint64_t> seed;
  bool greedy = false;
  int64_t max_new = 256;
  std::vector<std::string> stop;

  void add_to(CLI::App& app);
  // Without a seed a new one is drawn each time.
  generate::GenerateOptions resolve(const bundle::GenerationConfig& defaults) const;
};

}  // namespace ashlar::cli
