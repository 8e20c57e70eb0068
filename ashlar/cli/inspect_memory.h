// What serving one sequence of a model takes of memory, as `ashlar inspect` shows it: the plan that
// `run` and `serve` go by, made before any weight is read.
#pragma once

#include "ashlar/bundle/bundle.h"
#include "ashlar/tensor/dtype.h"

#include <nlohmann/json.hpp>

#include <cstdint>
#include <optional>

namespace ashlar::cli {

// context: tokens, 0 for all that the model has; dtype: of the weights, none for the file's own.
// Throws Error for a context beyond the model's.
nlohmann::ordered_json memory_to_serve(const bundle::Bundle& model, int64_t context,
                                       std::optional<DType> dtype);

}  // namespace ashlar::cli
