#include "ashlar/passes/merge_linears.h"

#include "ashlar/graph/ops/linear_group.h"
#include "ashlar/passes/block_product.h"
#include "ashlar/passes/rewrite.h"

#include <map>

namespace ashlar::passes {
namespace {

using graph::Graph;
using graph::LinearOp;
using graph::Node;
using graph::ValueId;

using Group = std::vector<const Node*>;

// Those of two products or more, by their first.
std::map<const Node*, Group> groups_of(const Graph& graph) {
  std::map<ValueId, const Node*> open;  // by x
  std::map<const Node*, Group> groups;
  for (const Node& node : graph.nodes()) {
    if (block_product(graph, node) == nullptr || node.inputs[LinearOp::kResidual].valid()) continue;
    const ValueId x = node.inputs[LinearOp::kX];
    const auto found = open.find(x);
    if (found == open.end() || groups[found->second].size() == kernels::kMostProducts) {
      open[x] = &node;
    }
    groups[open[x]].push_back(&node);
  }
  std::erase_if(groups, [](const auto& group) { return group.second.size() < 2; });
  return groups;
}

// "attn.q", "attn.k" and "attn.v" as "attn.q+k+v".
std::string joined_name(const Group& group) {
  std::string name = group.front()->name;
  for (size_t i = 1; i < group.size(); ++i) {
    const std::string& other = group[i]->name;
    name += '+' + other.substr(other.rfind('.') + 1);
  }
  return name;
}

void emit(Rewrite& rewrite, const Group& group) {
  const Node& first = *group.front();
  std::vector<graph::PackedWeight> weights;
  std::vector<ValueId> inputs = {rewrite(first.inputs[LinearOp::kX])};
  for (const LinearOp::Input input : {LinearOp::kWeight, LinearOp::kBias}) {
    for (const Node* node : group) inputs.push_back(rewrite(node->inputs[input]));
  }
  for (const Node* node : group) {
    weights.push_back(dynamic_cast<const LinearOp&>(*node->op).packed());
  }
  const std::vector<ValueId> outputs =
      rewrite.result().add_node(std::make_shared<graph::LinearGroupOp>(std::move(weights)),
                                std::move(inputs), first.phase, first.layer, joined_name(group));
  for (size_t i = 0; i < group.size(); ++i) rewrite.map(group[i]->outputs[0], outputs[i]);
}

}  // namespace

Graph merge_linears(const Graph& graph) {
  const std::map<const Node*, Group> groups = groups_of(graph);
  std::map<const Node*, const Node*> first_of;
  for (const auto& [first, group] : groups) {
    for (const Node* node : group) first_of[node] = first;
  }
  Rewrite rewrite(graph);
  for (const Node& node : graph.nodes()) {
    const auto found = first_of.find(&node);
    if (found == first_of.end()) {
      rewrite.copy(node);
    } else if (found->second == &node) {
      emit(rewrite, groups.at(&node));
    }
  }
  return rewrite.take();
}

}  // namespace ashlar::passes
