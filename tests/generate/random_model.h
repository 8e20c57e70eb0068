// Models with random weights that tests make: a config, and a store that holds every weight of its
// serving graph.
#pragma once

#include "ashlar/generate/open_model.h"
#include "ashlar/runtime/variable_store.h"

#include <cstdint>

namespace ashlar::testing {

struct RandomModelSizes {
  int64_t width = 32, layers = 2, heads = 4, kv_heads = 2, ffn = 48, vocab = 97;
  int64_t max_positions = 256;
  int64_t experts = 0;          // > 0: Mixtral's architecture, two experts a token
  int64_t short_positions = 0;  // > 0: longer sequences rotate by LongRoPE's long factors
};

// LLaMA's architecture, or Mixtral's.
models::DecoderConfig random_model_config(const RandomModelSizes& sizes);

// Weights of every matrix in the graph, of its dtype, from one seed.
runtime::VariableStore random_weights(const graph::Graph& graph, uint64_t seed);

// Both together with packed weights, as open_model() does, on this machine's best tier.
std::unique_ptr<generate::ModelRunner> random_runner(const RandomModelSizes& sizes,
                                                     const generate::ModelOptions& options,
                                                     ThreadPool& pool);

}  // namespace ashlar::testing
