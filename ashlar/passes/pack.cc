#include "ashlar/passes/pack.h"

#include "ashlar/base/error.h"
#include "ashlar/graph/ops/grouped_linear.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/passes/merge_linears.h"
#include "ashlar/passes/merge_mlp.h"
#include "ashlar/passes/merge_norms.h"
#include "ashlar/passes/rewrite.h"

namespace ashlar::passes {
namespace {

using graph::Graph;
using graph::GroupedLinearOp;
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
  const int rank = source.shape.rank();  // [outputs, inputs], or such a matrix for each expert
  const int64_t bytes =
      table.packed_b_bytes(source.dtype, source.shape[rank - 1], source.shape[rank - 2]);
  Variable packed;
  packed.name = name;
  packed.kind = graph::VariableKind::kPacked;
  packed.dtype = DType::kU8;
  packed.shape = rank == 3 ? Shape{source.shape[0], bytes} : Shape{bytes};
  packed.trainable = false;
  packed.source = weight;
  return graph.current(graph.add_variable(std::move(packed)));
}

// The input that is a weight to be packed, and the op that reads it packed.
struct Packing {
  int input = -1;
  graph::OpPtr op;
};

Packing packing_of(const Graph& graph, const Node& node) {
  // dim: of the weight's outputs.
  const auto packed = [&](int input, int dim) -> graph::PackedWeight {
    const VariableId id = graph.value(node.inputs[static_cast<size_t>(input)]).variable;
    if (!id.valid()) return {};
    return {graph.variable(id).shape[dim], graph.variable(id).dtype};
  };
  if (const auto* op = dynamic_cast<const LinearOp*>(node.op.get()); op && !op->packed()) {
    const graph::PackedWeight weight = packed(LinearOp::kWeight, 0);
    if (!weight) return {};
    return {LinearOp::kWeight, std::make_shared<LinearOp>(op->activation(), op->out(), weight)};
  }
  if (const auto* op = dynamic_cast<const GroupedLinearOp*>(node.op.get()); op && !op->packed()) {
    const graph::PackedWeight weight = packed(GroupedLinearOp::kWeight, 1);
    if (!weight) return {};
    return {GroupedLinearOp::kWeight, std::make_shared<GroupedLinearOp>(weight)};
  }
  return {};
}

}  // namespace

Graph pack(const Graph& inference, const kernels::KernelTable& table) {
  Rewrite rewrite(inference);
  for (const Node& node : inference.nodes()) {
    ASHLAR_CHECK(node.phase == graph::Phase::kForward,
                 "pack: op {} is not part of a forward; training packs inside its products",
                 node.name);
    const Packing packing = packing_of(inference, node);
    if (packing.input < 0) {
      rewrite.copy(node);
      continue;
    }
    const auto input = static_cast<size_t>(packing.input);
    std::vector<ValueId> inputs = rewrite(node.inputs);
    inputs[input] =
        packed_weight(rewrite.result(), inference.value(node.inputs[input]).variable, table);
    rewrite.copy(node, packing.op, std::move(inputs));
  }
  return merge_norms(merge_linears(merge_mlps(rewrite.take())));
}

}  // namespace ashlar::passes
