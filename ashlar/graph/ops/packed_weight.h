// A weight in the layout of the kernel table (passes/pack.h): bytes, of which only the op that
// reads them knows what they hold. At run time a weight of blocks may come as it is, unpacked, to
// the same op (runtime/pack_weights.h).
#pragma once

#include "ashlar/graph/op.h"

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
  // Matrix `matrix` of the operand (of experts: [E, bytes]) as B of a product whose shape is set.
  void put(const Operand& weight, kernels::GemmArgs& args, int64_t matrix = 0) const;
};

}  // namespace ashlar::graph
