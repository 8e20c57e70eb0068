#include "ashlar/graph/op.h"

#include "ashlar/base/error.h"
#include "ashlar/graph/gradient.h"

namespace ashlar::graph {

void Op::gradient(GradientContext& context) const {
  fail("{}: op '{}' has no gradient; it belongs after differentiation, or in inference graphs",
       context.node().name, kind());
}

double operand_bytes(std::span<const Operand> operands) {
  double bytes = 0;
  for (const Operand& operand : operands) {
    bytes += static_cast<double>(bytes_of(operand.dtype, operand.shape.elements()));
  }
  return bytes;
}

Cost Op::cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const {
  return {0, operand_bytes(inputs) + operand_bytes(outputs)};
}

int64_t Op::scratch_bytes(std::span<const Operand>, std::span<const Operand>,
                          const kernels::KernelTable&, int) const {
  return 0;
}

std::vector<comm::Pending> Op::start(const KernelCall& call) const {
  run(call);
  return {};
}

}  // namespace ashlar::graph
