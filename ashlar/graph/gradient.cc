#include "ashlar/graph/gradient.h"

#include "ashlar/graph/ops/elementwise.h"

namespace ashlar::graph {

GradientContext::GradientContext(Graph& graph, const Node& node, GradientState& state)
    : graph_(graph), node_(node), state_(state) {}

ValueId GradientContext::grad(int output) const {
  const auto found = state_.of_value.find(this->output(output));
  return found == state_.of_value.end() ? ValueId{} : found->second;
}

bool GradientContext::wants(int input) const {
  const ValueId id = this->input(input);
  return id.valid() && state_.wanted[static_cast<size_t>(id.index)];
}

std::vector<ValueId> GradientContext::apply(OpPtr op, std::vector<ValueId> inputs,
                                            const std::string& suffix) {
  return graph_.add_node(std::move(op), std::move(inputs), Phase::kInputGrad, node_.layer,
                         node_.name + "." + suffix);
}

void GradientContext::set(int input, ValueId gradient) {
  ValueId& slot = state_.of_value[this->input(input)];
  slot =
      slot.valid() ? apply(std::make_shared<AddOp>(), {slot, gradient}, "grad_sum")[0] : gradient;
}

std::pair<ValueId, bool> GradientContext::gradient_of_parameter(int input) {
  const VariableId parameter = graph_.value(this->input(input)).variable;
  auto [entry, first] = state_.of_variable.try_emplace(parameter);
  if (first) {
    const Variable& source = graph_.variable(parameter);
    Variable gradient;
    gradient.name = source.name + ".grad";
    gradient.kind = VariableKind::kGradient;
    gradient.shape = source.shape;
    gradient.dims = source.dims;
    gradient.trainable = false;
    gradient.source = parameter;
    entry->second = graph_.add_variable(std::move(gradient));
  }
  return {graph_.current(entry->second), first};
}

std::vector<ValueId> GradientContext::apply_weight_grad(OpPtr op, std::vector<ValueId> inputs,
                                                        const std::string& suffix) {
  return graph_.add_node(std::move(op), std::move(inputs), Phase::kWeightGrad, node_.layer,
                         node_.name + "." + suffix);
}

}  // namespace ashlar::graph
