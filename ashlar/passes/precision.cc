#include "ashlar/passes/precision.h"

#include "ashlar/base/error.h"
#include "ashlar/graph/ops/elementwise.h"
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
    return variable.kind == VariableKind::kParameter && variable.shape.rank() >= 2 &&
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

}  // namespace

Graph precision(const Graph& graph, DType compute) {
  if (compute == DType::kF32) return graph;
  ASHLAR_CHECK(compute == DType::kBF16, "precision: dtype {} is not f32 or bf16", name(compute));
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
      if (!inputs[i].valid()) continue;
      const VariableId variable = rewrite.result().value(inputs[i]).variable;
      if (variable.valid() && shadows.wanted(variable)) inputs[i] = shadows.read(variable);
    }
    const bool starts_activations = dynamic_cast<const graph::GatherRowsOp*>(node.op.get());
    rewrite.copy(node,
                 starts_activations ? std::make_shared<graph::GatherRowsOp>(compute) : node.op,
                 std::move(inputs));
  }
  return rewrite.take();
}

}  // namespace ashlar::passes
