#include "ashlar/passes/pack.h"

#include "ashlar/base/error.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/passes/rewrite.h"

namespace ashlar::passes {
namespace {

using graph::Graph;
using graph::LinearOp;
using graph::Node;
using graph::ValueId;
using graph::Variable;
using graph::VariableId;

// The packed form of a weight, made on first use.
ValueId packed_weight(Graph& graph, VariableId weight, const kernels::KernelTable& table) {
  const Variable source = graph.variable(weight);
  const std::string name = source.name + ".packed";
  if (const auto existing = graph.find_variable(name)) return graph.current(*existing);
  const int64_t bytes = table.packed_b_bytes(source.dtype, source.shape[1], source.shape[0]);
  Variable packed;
  packed.name = name;
  packed.kind = graph::VariableKind::kPacked;
  packed.dtype = source.dtype;
  packed.shape = Shape{bytes / size_of(source.dtype)};
  packed.trainable = false;
  packed.source = weight;
  return graph.current(graph.add_variable(std::move(packed)));
}

}  // namespace

Graph pack(const Graph& inference, const kernels::KernelTable& table) {
  Rewrite rewrite(inference);
  for (const Node& node : inference.nodes()) {
    ASHLAR_CHECK(node.phase == graph::Phase::kForward,
                 "pack: op {} is not part of a forward; training packs inside its products",
                 node.name);
    const auto* linear = dynamic_cast<const LinearOp*>(node.op.get());
    const ValueId weight = linear != nullptr ? node.inputs[LinearOp::kWeight] : ValueId{};
    if (linear == nullptr || linear->packed_outputs() > 0 ||
        !inference.value(weight).variable.valid()) {
      rewrite.copy(node);
      continue;
    }
    const VariableId variable = inference.value(weight).variable;
    std::vector<ValueId> inputs = rewrite(node.inputs);
    inputs[LinearOp::kWeight] = packed_weight(rewrite.result(), variable, table);
    rewrite.copy(node,
                 std::make_shared<LinearOp>(linear->activation(), linear->out(),
                                            inference.variable(variable).shape[0]),
                 std::move(inputs));
  }
  return rewrite.take();
}

}  // namespace ashlar::passes
