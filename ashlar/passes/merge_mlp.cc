#include "ashlar/passes/merge_mlp.h"

#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/gated_mlp.h"
#include "ashlar/passes/block_product.h"
#include "ashlar/passes/rewrite.h"

#include <map>
#include <optional>
#include <set>

namespace ashlar::passes {
namespace {

using graph::Graph;
using graph::LinearOp;
using graph::Node;
using graph::ValueId;

struct Mlp {
  const Node *gate, *up, *gated, *down;
};

class Finder {
 public:
  explicit Finder(const Graph& graph) : graph_(graph), uses_(count_uses(graph)) {}

  // The MLP that ends with `down`.
  std::optional<Mlp> ends_with(const Node& down) const {
    if (block_product(graph_, down) == nullptr) return {};
    const Node* gated = only_producer(down.inputs[LinearOp::kX]);
    if (gated == nullptr || dynamic_cast<const graph::GatedOp*>(gated->op.get()) == nullptr) {
      return {};
    }
    const Node* gate = only_producer(gated->inputs[0]);
    const Node* up = only_producer(gated->inputs[1]);
    if (gate == nullptr || up == nullptr || !is_plain(*gate) || !is_plain(*up)) return {};
    if (gate->inputs[LinearOp::kX] != up->inputs[LinearOp::kX]) return {};
    return Mlp{gate, up, gated, &down};
  }

 private:
  // The node that makes a value which nobody else reads.
  const Node* only_producer(ValueId id) const {
    if (uses_[static_cast<size_t>(id.index)] != 1) return nullptr;
    const int maker = graph_.value(id).producer;
    return maker < 0 ? nullptr : &graph_.node(maker);
  }

  bool is_plain(const Node& node) const {
    return block_product(graph_, node) != nullptr && !node.inputs[LinearOp::kBias].valid() &&
           !node.inputs[LinearOp::kResidual].valid();
  }

  const Graph& graph_;
  std::vector<int> uses_;
};

graph::PackedWeight packed(const Node& node) {
  return dynamic_cast<const LinearOp&>(*node.op).packed();
}

}  // namespace

Graph merge_mlps(const Graph& graph) {
  const Finder finder(graph);
  std::map<const Node*, Mlp> merged;  // by its last node
  std::set<const Node*> left_out;
  for (const Node& node : graph.nodes()) {
    const std::optional<Mlp> mlp = finder.ends_with(node);
    if (!mlp) continue;
    merged.emplace(&node, *mlp);
    left_out.insert({mlp->gate, mlp->up, mlp->gated});
  }
  Rewrite rewrite(graph);
  for (const Node& node : graph.nodes()) {
    if (left_out.contains(&node)) continue;
    const auto found = merged.find(&node);
    if (found == merged.end()) {
      rewrite.copy(node);
      continue;
    }
    const auto& [gate, up, gated, down] = found->second;
    const auto activation = dynamic_cast<const graph::GatedOp&>(*gated->op).activation();
    rewrite.copy(node,
                 std::make_shared<graph::GatedMlpOp>(
                     activation, graph::GatedMlpWeights{packed(*gate), packed(*up), packed(*down)}),
                 rewrite({gate->inputs[LinearOp::kX], gate->inputs[LinearOp::kWeight],
                          up->inputs[LinearOp::kWeight], down->inputs[LinearOp::kWeight],
                          down->inputs[LinearOp::kBias], down->inputs[LinearOp::kResidual]}));
  }
  return rewrite.take();
}

}  // namespace ashlar::passes
