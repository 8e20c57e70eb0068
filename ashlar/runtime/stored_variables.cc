#include "ashlar/runtime/stored_variables.h"

#include "ashlar/base/error.h"

#include <map>
#include <string>

namespace ashlar::runtime {

std::vector<graph::VariableId> stored_variables(const graph::Graph& graph) {
  std::vector<bool> wanted = graph.variables_read();
  for (size_t i = 0; i < wanted.size(); ++i) {
    const graph::Variable& variable = graph.variables()[i];
    if (!wanted[i] || variable.kind != graph::VariableKind::kShadow) continue;
    ASHLAR_CHECK(variable.source.valid(), "variable {}: a shadow without a source to round from",
                 variable.name);
    wanted[static_cast<size_t>(variable.source.index)] = true;
  }
  std::vector<graph::VariableId> result;
  for (size_t i = 0; i < wanted.size(); ++i) {
    if (wanted[i]) result.push_back({static_cast<int32_t>(i)});
  }
  return result;
}

std::vector<graph::VariableId> updated_variables(const graph::Graph& graph) {
  std::map<std::string, graph::VariableId> written;
  for (const graph::Node& node : graph.nodes()) {
    if (node.phase != graph::Phase::kUpdate) continue;
    for (const graph::ValueId output : node.outputs) {
      const graph::VariableId variable = graph.value(output).variable;
      if (variable.valid()) written.emplace(graph.variable(variable).name, variable);
    }
  }
  std::vector<graph::VariableId> result;
  for (const auto& [name, variable] : written) result.push_back(variable);
  return result;
}

}  // namespace ashlar::runtime
