#include "ashlar/graph/ops/start_sum.h"

#include "ashlar/graph/ops/shape_rules.h"

#include <cstring>

namespace ashlar::graph {

std::vector<ValueType> StartSumOp::infer(std::span<const ValueType> inputs) const {
  check_inputs(kind(), inputs, 1);
  return {inputs[0]};
}

// Zero is all bits zero in every float dtype.
static void clear(const Operand& sum, const RunState& state) {
  if (!state.first_microbatch) return;
  std::memset(sum.data, 0, static_cast<size_t>(sum.shape.elements() * size_of(sum.dtype)));
}

void StartSumOp::run(const KernelCall& call) const { clear(call.outputs[0], call.state); }

void StartSumOp::reference(const ReferenceCall& call) const { clear(call.outputs[0], call.state); }

}  // namespace ashlar::graph
