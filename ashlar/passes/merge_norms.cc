#include "ashlar/passes/merge_norms.h"

#include "ashlar/graph/ops/gated_mlp.h"
#include "ashlar/graph/ops/linear_group.h"
#include "ashlar/passes/rewrite.h"

#include <map>
#include <set>

namespace ashlar::passes {
namespace {

using graph::GatedMlpOp;
using graph::Graph;
using graph::LinearGroupOp;
using graph::Node;
using graph::NormOp;
using graph::OpPtr;

// The same op behind a norm; null for ops that cannot take one, or have one.
OpPtr behind_norm(const Node& node, const graph::NormSpec& norm) {
  if (const auto* group = dynamic_cast<const LinearGroupOp*>(node.op.get())) {
    return group->norm() ? nullptr : std::make_shared<LinearGroupOp>(group->weights(), norm);
  }
  if (const auto* mlp = dynamic_cast<const GatedMlpOp*>(node.op.get())) {
    return mlp->norm() ? nullptr
                       : std::make_shared<GatedMlpOp>(mlp->activation(), mlp->weights(), norm);
  }
  return nullptr;
}

// Both ops read x first; a norm's weight and bias come last.
constexpr size_t kX = 0;
static_assert(LinearGroupOp::kX == kX && GatedMlpOp::kX == kX);

std::vector<graph::ValueId> inputs_behind_norm(const Node& node, const Node& norm) {
  std::vector<graph::ValueId> inputs = node.inputs;
  inputs[kX] = norm.inputs[0];
  inputs.insert(inputs.end(), {norm.inputs[1], norm.inputs[2]});
  return inputs;
}

// The norm whose rows `node` alone reads; null where there is none.
const Node* norm_before(const Graph& graph, const std::vector<int>& uses, const Node& node) {
  if (node.inputs.empty() || !node.inputs[kX].valid()) return nullptr;
  const int maker = graph.value(node.inputs[kX]).producer;
  if (maker < 0) return nullptr;
  const Node& norm = graph.node(maker);
  const auto* op = dynamic_cast<const NormOp*>(norm.op.get());
  if (op == nullptr || op->spec().group != 0) return nullptr;
  for (size_t i = 0; i < norm.outputs.size(); ++i) {  // y, and what only a backward reads
    if (uses[static_cast<size_t>(norm.outputs[i].index)] != (i == 0 ? 1 : 0)) return nullptr;
  }
  return &norm;
}

}  // namespace

Graph merge_norms(const Graph& graph) {
  const std::vector<int> uses = count_uses(graph);
  struct Merged {
    const Node* norm;
    OpPtr op;
  };
  std::map<const Node*, Merged> merged;  // by the node behind the norm
  std::set<const Node*> left_out;
  for (const Node& node : graph.nodes()) {
    const Node* norm = norm_before(graph, uses, node);
    if (norm == nullptr) continue;
    OpPtr op = behind_norm(node, dynamic_cast<const NormOp&>(*norm->op).spec());
    if (op == nullptr) continue;
    merged.emplace(&node, Merged{norm, std::move(op)});
    left_out.insert(norm);
  }
  Rewrite rewrite(graph);
  for (const Node& node : graph.nodes()) {
    if (left_out.contains(&node)) continue;
    const auto found = merged.find(&node);
    if (found == merged.end()) {
      rewrite.copy(node);
      continue;
    }
    const auto& [norm, op] = found->second;
    rewrite.copy(node, op, rewrite(inputs_behind_norm(node, *norm)));
  }
  return rewrite.take();
}

}  // namespace ashlar::passes
