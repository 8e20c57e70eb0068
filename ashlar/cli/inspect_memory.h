// What serving one sequence of a model takes of memory, as `ashlar inspect` shows it: the plan that
// `run` and `serve` go by, made before any weight is read.
#pragma once

#include "ashlar/bundle/bundle.h"
#include "ashlar/tensor/dtype.h"

#include <cstdint>
#include <optional>

namespace ashlar::cli {

struct ServingMemory {
  int64_t context = 0;  // tokens
  DType dtype = DType::kF32, cache_dtype = DType::kF32;
  int64_t weight_bytes = 0, cache_bytes = 0;
  int64_t work_bytes = 0;  // of one step

  int64_t total_bytes() const { return weight_bytes + cache_bytes + work_bytes; }
};

// context: tokens, 0 for all that the model has; dtype: of the weights, none for the file's own.
// Throws Error for a context beyond the model's.
ServingMemory memory_to_serve(const bundle::Bundle& model, int64_t context,
                              std::optional<DType> dtype);

}  // namespace ashlar::cli
