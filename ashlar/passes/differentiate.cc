#include "ashlar/passes/differentiate.h"

#include "ashlar/base/error.h"
#include "ashlar/graph/gradient.h"

#include <algorithm>

namespace ashlar::passes {
namespace {

using graph::Graph;
using graph::Node;
using graph::ValueId;

// Values through which a trainable parameter can be reached.
std::vector<bool> values_leading_to_parameters(const Graph& graph) {
  std::vector<bool> wanted(graph.values().size(), false);
  for (size_t i = 0; i < wanted.size(); ++i) {
    const graph::ValueInfo& value = graph.values()[i];
    if (value.producer >= 0 || !value.variable.valid()) continue;
    const graph::Variable& variable = graph.variable(value.variable);
    wanted[i] = variable.kind == graph::VariableKind::kParameter && variable.trainable;
  }
  for (const Node& node : graph.nodes()) {
    bool any = false;
    for (const ValueId input : node.inputs) {
      any = any || (input.valid() && wanted[static_cast<size_t>(input.index)]);
    }
    if (!any) continue;
    for (const ValueId output : node.outputs) wanted[static_cast<size_t>(output.index)] = true;
  }
  return wanted;
}

}  // namespace

std::map<graph::VariableId, graph::VariableId> differentiate(Graph& graph, ValueId loss) {
  return differentiate(graph, std::vector<ValueId>{loss});
}

std::map<graph::VariableId, graph::VariableId> differentiate(Graph& graph,
                                                             const std::vector<ValueId>& losses) {
  graph::GradientState state;
  state.wanted = values_leading_to_parameters(graph);
  for (const ValueId loss : losses) {
    ASHLAR_CHECK(state.wanted[static_cast<size_t>(loss.index)],
                 "differentiate: the loss depends on no trainable parameter");
  }
  const int forward_nodes = static_cast<int>(graph.nodes().size());
  for (int i = forward_nodes - 1; i >= 0; --i) {
    const Node node = graph.node(i);  // a copy: gradient() appends nodes
    bool reached = false, wanted = false;
    for (const ValueId output : node.outputs) {
      reached = reached || std::ranges::find(losses, output) != losses.end() ||
                state.of_value.contains(output);
    }
    for (const ValueId input : node.inputs) {
      wanted = wanted || (input.valid() && state.wanted[static_cast<size_t>(input.index)]);
    }
    if (!reached || !wanted) continue;
    graph::GradientContext context(graph, node, state);
    node.op->gradient(context);
  }
  return state.of_variable;
}

}  // namespace ashlar::passes
