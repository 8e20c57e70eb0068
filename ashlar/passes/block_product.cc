#include "ashlar/passes/block_product.h"

namespace ashlar::passes {

using graph::LinearOp;

const LinearOp* block_product(const graph::Graph& graph, const graph::Node& node) {
  const auto* linear = dynamic_cast<const LinearOp*>(node.op.get());
  const auto is_f32 = [&](graph::ValueId id) { return graph.value(id).type.dtype == DType::kF32; };
  const bool taken =
      linear != nullptr && linear->packed() && kernels::multiplies(linear->packed().format) &&
      linear->activation() == kernels::Activation::kNone && !node.inputs[LinearOp::kDown].valid() &&
      is_f32(node.inputs[LinearOp::kX]) && is_f32(node.outputs[0]);
  return taken ? linear : nullptr;
}

}  // namespace ashlar::passes
