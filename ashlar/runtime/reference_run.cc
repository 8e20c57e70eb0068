#include "ashlar/runtime/reference_run.h"

#include "ashlar/base/error.h"

#include <algorithm>

namespace ashlar::runtime {

using graph::Operand;
using graph::Phase;
using graph::ValueId;

ReferenceRun::ReferenceRun(const graph::Graph& graph, const graph::Bindings& bindings,
                           const VariableStore& store, comm::Communicator* comm)
    : graph_(graph), bindings_(bindings), comm_(comm) {
  select(0, bindings);
  for (const graph::Variable& variable : graph.variables()) {
    const Tensor& tensor = store.at(variable.name);
    Storage storage;
    storage.floats.resize(static_cast<size_t>(tensor.elements()));
    convert(tensor.dtype(), tensor.data(), DType::kF64, storage.floats.data(), tensor.elements());
    variables_.push_back(std::move(storage));
  }
}

void ReferenceRun::select(int microbatch, const graph::Bindings& bindings) {
  bindings_ = bindings;
  selected_ = static_cast<size_t>(microbatch);
  if (values_.size() <= selected_) values_.resize(selected_ + 1);
  values_[selected_].resize(graph_.values().size());
}

void ReferenceRun::set_input(const std::string& name, std::vector<int32_t> values) {
  storage(graph_.inputs().at(name)).ints = std::move(values);
}

void ReferenceRun::set_input(const std::string& name, std::vector<double> values) {
  storage(graph_.inputs().at(name)).floats = std::move(values);
}

ReferenceRun::Storage& ReferenceRun::storage(ValueId id) {
  const graph::VariableId variable = graph_.value(id).variable;
  return variable.valid() ? variables_[static_cast<size_t>(variable.index)]
                          : values_[selected_][static_cast<size_t>(id.index)];
}

Operand ReferenceRun::operand(ValueId id) {
  Operand operand;
  operand.shape = Shape{0};
  operand.present = id.valid();
  if (!id.valid()) return operand;
  const graph::ValueType& type = graph_.type(id);
  operand.shape = type.shape.bind(bindings_);
  const auto elements = static_cast<size_t>(operand.shape.elements());
  Storage& storage = this->storage(id);
  if (is_float(type.dtype)) {
    operand.dtype = DType::kF64;
    const graph::ValueInfo& value = graph_.value(id);
    if (!value.variable.valid()) storage.floats.resize(elements);
    double* data = storage.floats.data();
    if (value.first_row > 0) {
      data += graph_.variable(value.variable).shape.elements() /
              graph_.variable(value.variable).shape[0] * value.first_row;
    }
    operand.data = reinterpret_cast<std::byte*>(data);
  } else {
    operand.dtype = type.dtype;
    if (graph_.value(id).producer >= 0) storage.ints.resize(elements);
    ASHLAR_CHECK(storage.ints.size() == elements, "reference: input {} has {} values, wanted {}",
                 graph_.value(id).name, storage.ints.size(), elements);
    operand.data = reinterpret_cast<std::byte*>(storage.ints.data());
  }
  return operand;
}

void ReferenceRun::run(const graph::RunState& state) {
  run(state, {std::begin(graph::kPhases), std::end(graph::kPhases)});
}

void ReferenceRun::run(const graph::RunState& state, std::vector<Phase> phases) {
  for (const graph::Node& node : graph_.nodes()) {
    if (std::ranges::find(phases, node.phase) == phases.end()) continue;
    std::vector<Operand> inputs, outputs;
    for (const ValueId id : node.inputs) inputs.push_back(operand(id));
    for (const ValueId id : node.outputs) outputs.push_back(operand(id));
    for (const graph::Alias& alias : node.op->aliases()) {  // no Variable, yet changed in place
      const Operand& from = inputs[static_cast<size_t>(alias.input)];
      const Operand& to = outputs[static_cast<size_t>(alias.output)];
      if (!alias.required || !from.present || from.data == to.data || alias.part) continue;
      std::copy_n(from.as<double>(), from.shape.elements(), to.as<double>());
    }
    node.op->reference({inputs, outputs, state, comm_});
  }
}

const std::vector<double>& ReferenceRun::output(const std::string& name) const {
  return const_cast<ReferenceRun*>(this)->storage(graph_.output(name)).floats;
}

const std::vector<int32_t>& ReferenceRun::whole_numbers(const std::string& name) const {
  return const_cast<ReferenceRun*>(this)->storage(graph_.output(name)).ints;
}

Operand ReferenceRun::output_operand(const std::string& name) const {
  return const_cast<ReferenceRun*>(this)->operand(graph_.output(name));
}

std::vector<double>& ReferenceRun::variable(const std::string& name) {
  const auto id = graph_.find_variable(name);
  ASHLAR_CHECK(id.has_value(), "reference: no variable is named '{}'", name);
  return variables_[static_cast<size_t>(id->index)].floats;
}

}  // namespace ashlar::runtime
