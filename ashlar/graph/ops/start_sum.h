// Where a gradient's first contribution of a step is made on another rank: something must still
// begin the sum anew.
#pragma once

#include "ashlar/graph/op.h"

namespace ashlar::graph {

// (grad) -> grad, zero in the first microbatch of a step, as it is in all others.
class StartSumOp : public Op {
 public:
  std::string_view kind() const override { return "start_sum"; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override { return {{0, 0, true}}; }
};

}  // namespace ashlar::graph
