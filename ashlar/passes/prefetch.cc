#include "ashlar/passes/prefetch.h"

#include "ashlar/graph/ops/collective.h"
#include "ashlar/passes/rewrite.h"

#include <algorithm>
#include <map>
#include <utility>
#include <vector>

namespace ashlar::passes {
namespace {

using graph::Graph;
using graph::Node;
using graph::Phase;

bool gathers_variable(const Node& node) {
  const auto* gather = dynamic_cast<const graph::AllGatherOp*>(node.op.get());
  return gather != nullptr && gather->variable();
}

// Forward and backward are Programs of their own; nothing is gathered for one in the other.
bool in_backward(const Node& node) { return node.phase != Phase::kForward; }
bool same_program(const Node& a, const Node& b) { return in_backward(a) == in_backward(b); }

// What backward gathers to compute a layer again serves its gradients too: one gather of a value in
// each Program, the first.
class Gathers {
 public:
  explicit Gathers(Rewrite& rewrite) : rewrite_(rewrite) {}

  void copy(const Node& node) {
    const graph::ValueId input = rewrite_(node.inputs[0]);
    const auto [known, is_new] = made_.try_emplace({in_backward(node), input});
    if (is_new) {
      known->second = rewrite_.copy(node)[0];
    } else {
      rewrite_.map(node.outputs[0], known->second);
    }
  }
  // Along a second axis, of what was gathered along one.
  bool goes_on(const Node& node) const {
    if (dynamic_cast<const graph::AllGatherOp*>(node.op.get()) == nullptr) return false;
    const graph::ValueId input = rewrite_(node.inputs[0]);
    return std::ranges::any_of(made_, [&](const auto& made) { return made.second == input; });
  }

 private:
  Rewrite& rewrite_;
  std::map<std::pair<bool, graph::ValueId>, graph::ValueId> made_;
};

// Gathers of one layer that follow one another.
struct Unit {
  const Node* first;
  std::vector<const Node*> gathers;
};

std::vector<Unit> units_of(const Graph& graph) {
  std::vector<Unit> units;
  for (const Node& node : graph.nodes()) {
    if (!gathers_variable(node)) continue;
    const bool same = !units.empty() && units.back().first->layer == node.layer &&
                      same_program(*units.back().first, node);
    if (!same) units.push_back({&node, {}});
    units.back().gathers.push_back(&node);
  }
  return units;
}

}  // namespace

Graph prefetch_parameters(const Graph& graph) {
  const std::vector<Unit> units = units_of(graph);
  if (units.empty()) return graph;
  Rewrite rewrite(graph);
  Gathers gathers(rewrite);
  size_t written = 0;  // units
  const auto write = [&](size_t unit) {
    for (; written <= unit; ++written) {
      for (const Node* gather : units[written].gathers) gathers.copy(*gather);
    }
  };
  size_t reached = 0;  // units begun
  for (const Node& node : graph.nodes()) {
    if (reached < units.size() && &node == units[reached].first) {
      const size_t next = reached + 1;
      const bool ahead = next < units.size() && same_program(*units[next].first, node);
      write(ahead ? next : reached);
      ++reached;
    }
    if (gathers_variable(node)) continue;
    if (gathers.goes_on(node)) {
      gathers.copy(node);
    } else {
      rewrite.copy(node);
    }
  }
  return rewrite.take();
}

}  // namespace ashlar::passes
