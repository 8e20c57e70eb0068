#include "ashlar/graph/graph.h"

#include "ashlar/base/error.h"

#include <fmt/format.h>

#include <utility>

namespace ashlar::graph {

std::string ValueType::str() const {
  return present ? fmt::format("{}{}", ashlar::name(dtype), shape.str()) : "absent";
}

std::string_view name(VariableKind kind) {
  constexpr std::string_view names[] = {"parameter", "constant", "gradient", "optimizer",
                                        "shadow",    "packed",   "cache"};
  return names[static_cast<int>(kind)];
}

std::string_view name(Phase phase) {
  constexpr std::string_view names[] = {"F", "B", "W", "R", "N", "U"};
  return names[static_cast<int>(phase)];
}

ValueId Graph::add_input(const std::string& name, ValueType type) {
  const ValueId id{static_cast<int32_t>(values_.size())};
  const bool added = inputs_.emplace(name, id).second;
  ASHLAR_CHECK(added, "graph: two inputs are named '{}'", name);
  values_.push_back({name, std::move(type), -1, {}});
  return id;
}

VariableId Graph::add_variable(Variable variable) {
  const VariableId id{static_cast<int32_t>(variables_.size())};
  const bool added = variables_by_name_.emplace(variable.name, id).second;
  ASHLAR_CHECK(added, "graph: two variables are named '{}'", variable.name);
  ASHLAR_CHECK(
      variable.dims.empty() || variable.dims.size() == static_cast<size_t>(variable.shape.rank()),
      "variable {}: {} logical dims named for shape {}", variable.name, variable.dims.size(),
      variable.shape.str());
  const ValueId value{static_cast<int32_t>(values_.size())};
  values_.push_back({variable.name, {variable.dtype, SymShape(variable.shape)}, -1, id});
  current_.push_back(value);
  variables_.push_back(std::move(variable));
  return id;
}

std::optional<VariableId> Graph::find_variable(const std::string& name) const {
  const auto found = variables_by_name_.find(name);
  if (found == variables_by_name_.end()) return std::nullopt;
  return found->second;
}

std::vector<bool> Graph::variables_read() const {
  std::vector<bool> read(variables_.size(), false);
  for (const Node& node : nodes_) {
    for (const ValueId input : node.inputs) {
      if (!input.valid() || !value(input).variable.valid()) continue;
      read[static_cast<size_t>(value(input).variable.index)] = true;
    }
  }
  return read;
}

std::vector<ValueId> Graph::add_node(OpPtr op, std::vector<ValueId> inputs, Phase phase, int layer,
                                     std::string name) {
  std::vector<ValueType> types;
  types.reserve(inputs.size());
  for (const ValueId input : inputs) {
    types.push_back(input.valid() ? type(input) : ValueType::absent());
  }
  std::vector<ValueType> result_types;
  try {
    result_types = op->infer(types);
  } catch (const Error& error) {
    throw Error(fmt::format("{} (op {})", error.what(), name), error.exit_code());
  }

  const auto node_index = static_cast<int32_t>(nodes_.size());
  std::vector<ValueId> outputs;
  for (size_t i = 0; i < result_types.size(); ++i) {
    const ValueId id{static_cast<int32_t>(values_.size())};
    std::string value_name = i == 0 ? name : fmt::format("{}:{}", name, i);
    values_.push_back({std::move(value_name), std::move(result_types[i]), node_index, {}});
    outputs.push_back(id);
  }
  for (const Alias& alias : op->aliases()) {
    if (!alias.required) continue;
    const ValueId old = inputs[static_cast<size_t>(alias.input)];
    if (!old.valid()) continue;
    const ValueInfo source = value(old);
    const VariableId variable = source.variable;
    if (!variable.valid()) continue;
    ASHLAR_CHECK(source.part || current(variable) == old,
                 "op {}: changes an outdated version of variable {}", name,
                 this->variable(variable).name);
    const ValueId next = outputs[static_cast<size_t>(alias.output)];
    ValueInfo& result = values_[static_cast<size_t>(next.index)];
    result.variable = variable;
    result.part = source.part || alias.part;
    result.first_row = source.first_row + alias.first_row;
    if (!result.part) current_[static_cast<size_t>(variable.index)] = next;
  }
  nodes_.push_back({std::move(op), std::move(inputs), outputs, phase, layer, std::move(name)});
  return outputs;
}

ValueId Graph::output(const std::string& name) const {
  const auto found = outputs_.find(name);
  ASHLAR_CHECK(found != outputs_.end(), "graph: no output is named '{}'", name);
  return found->second;
}

std::string Graph::str() const {
  fmt::memory_buffer text;
  const auto out = fmt::appender(text);
  const auto label = [&](ValueId id) {
    if (!id.valid()) return std::string("-");
    const ValueInfo& info = value(id);
    return info.producer < 0 ? info.name : fmt::format("%{}", id.index);
  };
  for (const auto& [input_name, id] : inputs_) {
    fmt::format_to(out, "input {}: {}\n", input_name, type(id).str());
  }
  for (const Variable& variable : variables_) {
    fmt::format_to(out, "{} {}: {}{}\n", name(variable.kind), variable.name,
                   ashlar::name(variable.dtype), variable.shape.str());
  }
  for (const Node& node : nodes_) {
    std::string results;
    for (const ValueId id : node.outputs) {
      results += fmt::format("{}%{}: {}", results.empty() ? "" : ", ", id.index, type(id).str());
      if (value(id).variable.valid()) results += "@" + variable(value(id).variable).name;
    }
    std::string arguments;
    for (const ValueId id : node.inputs) arguments += (arguments.empty() ? "" : ", ") + label(id);
    const std::string attributes = node.op->attributes();
    fmt::format_to(out, "{} = {}({}){}{}  # {} {}\n", results, node.op->kind(), arguments,
                   attributes.empty() ? "" : " ", attributes, name(node.phase), node.name);
  }
  for (const auto& [output_name, id] : outputs_) {
    fmt::format_to(out, "output {} = {}\n", output_name, label(id));
  }
  return fmt::to_string(text);
}

}  // namespace ashlar::graph
