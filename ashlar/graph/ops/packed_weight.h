// A weight in the layout of the kernel table (passes/pack.h): bytes, of which only the op that
// reads them knows what they hold.
#pragma once

#include "ashlar/tensor/dtype.h"

#include <fmt/format.h>

#include <cstdint>
#include <string>

namespace ashlar::graph {

struct PackedWeight {
  int64_t outputs = 0;         // 0: the weight is not packed
  DType format = DType::kF32;  // of its elements
  explicit operator bool() const { return outputs > 0; }
  std::string str() const {
    return fmt::format("packed {} outputs={}", ashlar::name(format), outputs);
  }
};

}  // namespace ashlar::graph
