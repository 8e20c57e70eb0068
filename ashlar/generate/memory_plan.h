// What serving a model takes of memory, exact and known before any weight is read.
#pragma once

#include "ashlar/generate/open_model.h"

#include <cstdint>

namespace ashlar::generate {

struct MemoryPlan {
  int64_t weights = 0;  // that stay as they are: embeddings, norms, biases
  int64_t packed = 0;   // matrices in the layout of the kernels
  int64_t work = 0;     // of one step: activations and scratch
  int64_t block = 0;    // of the key-value cache, all layers together

  int64_t without_cache() const { return weights + packed + work; }
};

// options: resolved; how many blocks it asks for does not matter.
MemoryPlan plan_memory(const models::DecoderConfig& config, const ModelOptions& options,
                       const kernels::KernelTable& table, int threads);

}  // namespace ashlar::generate
