#include "ashlar/passes/precision.h"

#include "ashlar/base/error.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/rows.h"
#include "ashlar/passes/rewrite.h"

namespace ashlar::passes {
namespace {

using graph::Graph;
using graph::Node;
using graph::Phase;
using graph::ValueId;
using graph::Variable;
using graph::VariableId;
using graph::VariableKind;

// The shadow of each matrix parameter, made on first use.
class Shadows {
 public:
  Shadows(Rewrite& rewrite, DType compute) : rewrite_(rewrite), compute_(compute) {}

  bool wanted(VariableId parameter) const {
    const Variable& variable = rewrite_.result().variable(parameter);
    return variable.kind == VariableKind::kParameter && variable.matrix() &&
           variable.dtype == DType::kF32;
  }

  ValueId read(VariableId parameter) {
    Graph& graph = rewrite_.result();
    auto [entry, added] = shadows_.try_emplace(parameter);
    if (added) {
      const Variable& source = graph.variable(parameter);
      Variable shadow;
      shadow.name = source.name + ".shadow";
      shadow.kind = VariableKind::kShadow;
      shadow.dtype = compute_;
      shadow.shape = source.shape;
      shadow.dims = source.dims;
      shadow.trainable = false;
      shadow.source = parameter;
      entry->second = graph.add_variable(std::move(shadow));
    }
    return graph.current(entry->second);
  }

  // After an update of the parameter, its shadow follows.
  void refresh(VariableId parameter, ValueId value, const Node& node) {
    const auto found = shadows_.find(parameter);
    if (found == shadows_.end()) return;
    Graph& graph = rewrite_.result();
    graph.add_node(std::make_shared<graph::CastOp>(compute_, true),
                   {value, graph.current(found->second)}, Phase::kUpdate, node.layer,
                   node.name + ".shadow");
  }

 private:
  Rewrite& rewrite_;
  DType compute_;
  std::map<VariableId, VariableId> shadows_;
};

// Products whose result is asked for in f32, a router's logits and their way back: they read the
// master, so that choices between near equals follow its small steps (Switch's selective
// precision).
bool stays_f32(const Node& node) {
  const auto* linear = dynamic_cast<const graph::LinearOp*>(node.op.get());
  const auto* input_grad = dynamic_cast<const graph::LinearInputGradOp*>(node.op.get());
  return (linear != nullptr && linear->out() == DType::kF32) ||
         (input_grad != nullptr && input_grad->out().has_value());
}

// Where activations begin, or come back from such a product, the op says their dtype.
graph::OpPtr lowered(const Node& node, DType compute) {
  if (const auto* gather = dynamic_cast<const graph::GatherRowsOp*>(node.op.get())) {
    return std::make_shared<graph::GatherRowsOp>(compute, gather->first_row());
  }
  const auto* input_grad = dynamic_cast<const graph::LinearInputGradOp*>(node.op.get());
  if (input_grad != nullptr && input_grad->out().has_value()) {
    return std::make_shared<graph::LinearInputGradOp>(compute);
  }
  return node.op;
}

}  // namespace

Graph precision(const Graph& graph, DType compute) {
  if (compute == DType::kF32) return graph;
  ASHLAR_CHECK(compute == DType::kBF16 || compute == DType::kF16,
               "precision: dtype {} is not f32, bf16 or f16", name(compute));
  Rewrite rewrite(graph);
  Shadows shadows(rewrite, compute);
  for (const Node& node : graph.nodes()) {
    if (node.phase == Phase::kUpdate) {
      rewrite.copy(node);
      for (const ValueId output : node.outputs) {
        const VariableId variable = graph.value(output).variable;
        if (variable.valid() && shadows.wanted(variable)) {
          shadows.refresh(variable, rewrite(output), node);
        }
      }
      continue;
    }
    std::vector<ValueId> inputs = rewrite(node.inputs);
    for (size_t i = 0; i < inputs.size(); ++i) {
      if (!inputs[i].valid() || stays_f32(node)) continue;
      const VariableId variable = rewrite.result().value(inputs[i]).variable;
      if (variable.valid() && shadows.wanted(variable)) inputs[i] = shadows.read(variable);
    }
    rewrite.copy(node, lowered(node, compute), std::move(inputs));
  }
  return rewrite.take();
}

}  // namespace ashlar::passes
