#include "ashlar/base/error.h"
#include "ashlar/passes/shard.h"

#include <algorithm>

namespace ashlar::passes {
namespace {

using graph::Variable;
using graph::VariableKind;

// Axes along which ranks hold the same of a Variable and see other tokens.
constexpr std::string_view kTokenAxes[] = {"data", "context", "expert"};

// Muon looks at whole matrices: ZeRO leaves those alone.
bool updated_by_muon(const graph::Graph& graph, const Variable& parameter) {
  return std::ranges::any_of(graph.nodes(), [&](const graph::Node& node) {
    const graph::VariableId updated = graph.value(node.outputs[0]).variable;
    return node.op->kind() == "muon" && graph.variable(updated).name == parameter.name;
  });
}

// A master: what forward and backward read is its shadow.
bool only_update_reads(const graph::Graph& graph, const Variable& parameter) {
  const graph::VariableId id = *graph.find_variable(parameter.name);
  const bool has_shadow = std::ranges::any_of(graph.variables(), [&](const Variable& other) {
    return other.kind == VariableKind::kShadow && other.source == id;
  });
  return has_shadow && std::ranges::none_of(graph.nodes(), [&](const graph::Node& node) {
           return node.phase < graph::Phase::kReduce &&
                  std::ranges::any_of(node.inputs, [&](graph::ValueId input) {
                    return input.valid() && graph.value(input).variable == id;
                  });
         });
}

// From which stage of ZeRO on a Variable is sharded.
int zero_stage(const graph::Graph& graph, const Variable& variable) {
  constexpr int kNever = 4;
  const Variable& parameter = variable.source.valid() ? graph.variable(variable.source) : variable;
  if (updated_by_muon(graph, parameter)) return kNever;
  switch (variable.kind) {
    case VariableKind::kOptimizer:
      return 1;
    case VariableKind::kGradient:
      return 2;
    case VariableKind::kShadow:
      return 3;
    case VariableKind::kParameter:
      return !variable.trainable ? kNever : only_update_reads(graph, variable) ? 1 : 3;
    default:
      return kNever;
  }
}

}  // namespace

Placement variable_placement(const graph::Graph& graph, const Variable& variable,
                             const ShardPlan& plan) {
  Placement result = Placement::replicated(plan.mesh);
  // Moments and gradients lie as their parameter does.
  const Variable& named =
      variable.dims.empty() && variable.source.valid() ? graph.variable(variable.source) : variable;
  for (size_t dim = 0; dim < named.dims.size(); ++dim) {
    const auto axis = plan.axis_of.find(named.dims[dim]);
    if (axis == plan.axis_of.end() || plan.mesh.size(axis->second) == 1) continue;
    result = result.with(plan.mesh, axis->second, AxisPlacement::split(static_cast<int>(dim)));
  }
  if (plan.zero < zero_stage(graph, variable) || variable.shape.rank() == 0) return result;
  for (const std::string_view axis : kTokenAxes) {
    if (plan.mesh.size(axis) == 1 || result.on(plan.mesh, axis).is_split()) continue;
    result = result.with(plan.mesh, axis, AxisPlacement::shard(0));
  }
  return result;
}

}  // namespace ashlar::passes
