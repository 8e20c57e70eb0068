#include "ashlar/passes/store_weights.h"

#include "ashlar/graph/ops/grouped_linear.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/rows.h"
#include "ashlar/kernels/args.h"
#include "ashlar/passes/rewrite.h"

#include <map>
#include <optional>

namespace ashlar::passes {
namespace {

using graph::Graph;
using graph::Node;
using graph::Variable;

bool has_dim(const Variable& variable, std::string_view dim) {
  return !variable.dims.empty() && variable.dims.front() == dim;
}

// The input of a node that is a matrix of weights.
std::optional<std::pair<int, WeightUse>> weight_of(const Node& node) {
  if (dynamic_cast<const graph::LinearOp*>(node.op.get()) != nullptr) {
    return std::pair(graph::LinearOp::kWeight, WeightUse::kLinear);
  }
  if (dynamic_cast<const graph::GroupedLinearOp*>(node.op.get()) != nullptr) {
    return std::pair(graph::GroupedLinearOp::kWeight, WeightUse::kExperts);
  }
  if (dynamic_cast<const graph::GatherRowsOp*>(node.op.get()) != nullptr) {
    return std::pair(0, WeightUse::kEmbedding);
  }
  return std::nullopt;
}

// What every parameter that may be held in blocks is used for, by name.
std::map<std::string, WeightUse> uses_of(const Graph& graph) {
  std::map<std::string, WeightUse> uses;
  std::map<std::string, int> weighty, all;  // readers that take it as a weight; all readers
  for (const Node& node : graph.nodes()) {
    const auto weight = weight_of(node);
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      if (!node.inputs[i].valid()) continue;
      const graph::VariableId id = graph.value(node.inputs[i]).variable;
      if (!id.valid()) continue;
      const Variable& variable = graph.variable(id);
      ++all[variable.name];
      if (!weight || static_cast<int>(i) != weight->first) continue;
      ++weighty[variable.name];
      const bool head = weight->second == WeightUse::kLinear && has_dim(variable, "vocab");
      if (!uses.contains(variable.name) || head) {
        uses[variable.name] = head ? WeightUse::kHead : weight->second;
      }
    }
  }
  std::erase_if(uses, [&](const auto& use) {
    const Variable& variable = graph.variable(*graph.find_variable(use.first));
    return variable.kind != graph::VariableKind::kParameter ||
           weighty[use.first] != all[use.first] || has_dim(variable, "router") ||
           has_dim(variable, "position");
  });
  return uses;
}

bool holds(DType format, const Variable& variable) {
  return variable.shape[variable.shape.rank() - 1] % block_elements(format) == 0;
}

}  // namespace

Graph store_weights(const Graph& inference, const WeightFormat& format) {
  const std::map<std::string, WeightUse> uses = uses_of(inference);
  Rewrite rewrite(inference, [&](Variable& variable) {
    const auto use = uses.find(variable.name);
    if (use == uses.end()) return;
    const DType wanted = format(variable, use->second);
    const bool only_read = use->second == WeightUse::kEmbedding;
    const bool multiplied = !is_block(wanted) || only_read || kernels::multiplies(wanted);
    if (multiplied && holds(wanted, variable)) variable.dtype = wanted;
  });
  for (const Node& node : inference.nodes()) rewrite.copy(node);
  return rewrite.take();
}

WeightFormat all_in(DType format) {
  return [format](const Variable& variable, WeightUse use) {
    const bool edge = use == WeightUse::kHead || use == WeightUse::kEmbedding;
    DType wanted = is_block(format) && edge && format != DType::kQ8_0 ? DType::kQ6K : format;
    if (!holds(wanted, variable)) wanted = DType::kQ8_0;
    return holds(wanted, variable) ? wanted : variable.dtype;
  };
}

}  // namespace ashlar::passes
