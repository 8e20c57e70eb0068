#include "ashlar/passes/rewrite.h"

#include "ashlar/base/error.h"

namespace ashlar::passes {

using graph::Graph;
using graph::Node;
using graph::ValueId;

Rewrite::Rewrite(const Graph& source, const Change& change)
    : source_(source), mapped_(source.values().size()) {
  // Ids follow the order of creation, which interleaves inputs and Variables.
  std::map<ValueId, std::string> inputs;
  for (const auto& [name, id] : source.inputs()) inputs[id] = name;
  for (size_t i = 0; i < source.values().size(); ++i) {
    const ValueId old{static_cast<int32_t>(i)};
    const graph::ValueInfo& value = source.value(old);
    if (value.producer >= 0) continue;
    if (value.variable.valid()) {
      graph::Variable variable = source.variable(value.variable);
      if (change) change(variable);
      map(old, result_.current(result_.add_variable(std::move(variable))));
    } else {
      map(old, result_.add_input(inputs.at(old), value.type));
    }
  }
}

ValueId Rewrite::operator()(ValueId old) const {
  return old.valid() ? mapped_[static_cast<size_t>(old.index)] : old;
}

std::vector<ValueId> Rewrite::operator()(const std::vector<ValueId>& old) const {
  std::vector<ValueId> now;
  now.reserve(old.size());
  for (const ValueId id : old) now.push_back((*this)(id));
  return now;
}

std::vector<ValueId> Rewrite::copy(const Node& node) {
  return copy(node, node.op, (*this)(node.inputs));
}

std::vector<ValueId> Rewrite::copy(const Node& node, graph::OpPtr op, std::vector<ValueId> inputs) {
  const auto outputs =
      result_.add_node(std::move(op), std::move(inputs), node.phase, node.layer, node.name);
  if (node.recomputed) result_.mark_recomputed();
  for (size_t i = 0; i < node.outputs.size() && i < outputs.size(); ++i) {
    map(node.outputs[i], outputs[i]);
  }
  return outputs;
}

Graph Rewrite::take() {
  for (const auto& [name, id] : source_.outputs()) result_.mark_output(name, (*this)(id));
  return std::move(result_);
}

std::vector<int> count_uses(const Graph& graph) {
  std::vector<int> uses(graph.values().size(), 0);
  for (const Node& node : graph.nodes()) {
    for (const ValueId input : node.inputs) {
      if (input.valid()) ++uses[static_cast<size_t>(input.index)];
    }
  }
  for (const auto& [name, id] : graph.outputs()) ++uses[static_cast<size_t>(id.index)];
  return uses;
}

}  // namespace ashlar::passes
