#include "ashlar/passes/recompute.h"

#include "ashlar/graph/ops/attention.h"
#include "ashlar/graph/ops/collective.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/passes/rewrite.h"

#include <algorithm>
#include <cmath>

namespace ashlar::passes {
namespace {

using graph::Graph;
using graph::Node;
using graph::Phase;
using graph::ValueId;

constexpr int kKeep = -1;

// Rows of activations, of which this rank has its own already.
bool gathers_rows(const Node& node) {
  const auto* gather = dynamic_cast<const graph::AllGatherOp*>(node.op.get());
  return gather != nullptr && !gather->variable();
}

template <typename Op>
bool is(const Node& node) {
  return dynamic_cast<const Op*>(node.op.get()) != nullptr;
}

// Whether a mode that takes nodes one by one computes this one again.
bool is_taken_alone(const Node& node, Recompute mode) {
  return mode == Recompute::kSelective ? is<graph::AttentionOp>(node) || gathers_rows(node)
                                       : is<graph::ActivationOp>(node) || is<graph::GatedOp>(node);
}
bool takes_nodes(Recompute mode) {
  return mode == Recompute::kSelective || mode == Recompute::kActivations;
}

// For every node the segment that is computed again as one, or kKeep.
std::vector<int> segments_of(const Graph& graph, Recompute mode) {
  int layers = 0;
  for (const Node& node : graph.nodes()) layers = std::max(layers, node.layer + 1);
  const int together =
      mode == Recompute::kSqrt ? std::max(1, static_cast<int>(std::ceil(std::sqrt(layers)))) : 1;
  std::vector<int> segments(graph.nodes().size(), kKeep);
  for (size_t i = 0; i < segments.size(); ++i) {
    const Node& node = graph.nodes()[i];
    if (node.phase != Phase::kForward || node.layer < 0) continue;
    if (takes_nodes(mode)) {
      if (is_taken_alone(node, mode)) segments[i] = static_cast<int>(i);
    } else {
      segments[i] = node.layer / together;
    }
  }
  return segments;
}

class Pass {
 public:
  Pass(const Graph& graph, Recompute mode)
      : graph_(graph),
        rewrite_(graph),
        segments_(segments_of(graph, mode)),
        again_(graph.values().size()) {
    find_kept(mode);
    find_needed();
  }

  Graph run() {
    for (const Node& node : graph_.nodes()) {
      if (!is_backward(node)) {
        rewrite_.copy(node);
        continue;
      }
      for (const ValueId input : node.inputs) {
        if (is_lost(input)) compute_again(segment_of(input));
      }
      rewrite_.copy(node, node.op, mapped(node.inputs));
    }
    return rewrite_.take();
  }

 private:
  static bool is_backward(const Node& node) {
    return node.phase == Phase::kInputGrad || node.phase == Phase::kWeightGrad;
  }
  static size_t at(ValueId id) { return static_cast<size_t>(id.index); }

  int segment_of(ValueId id) const {
    const int producer = graph_.value(id).producer;
    return producer < 0 ? kKeep : segments_[static_cast<size_t>(producer)];
  }
  // Gone when backward starts.
  bool is_lost(ValueId id) const { return id.valid() && segment_of(id) != kKeep && !kept_[at(id)]; }

  // What enters a segment is kept: the next segment's input, or what the graph reads behind the
  // last. Of nodes taken alone nothing is, since what reads them is not computed again.
  void find_kept(Recompute mode) {
    kept_.assign(graph_.values().size(), false);
    for (size_t i = 0; i < segments_.size(); ++i) {
      const Node& node = graph_.nodes()[i];
      if (node.phase != Phase::kForward) continue;
      if (takes_nodes(mode) && segments_[i] == kKeep) continue;
      for (const ValueId input : node.inputs) {
        if (input.valid() && segment_of(input) != segments_[i]) kept_[at(input)] = true;
      }
    }
    for (const auto& [name, id] : graph_.outputs()) kept_[at(id)] = true;
  }

  // Nodes that backward needs again, directly or for another of their segment.
  void find_needed() {
    needed_.assign(segments_.size(), false);
    const auto need = [&](const Node& node) {
      for (const ValueId input : node.inputs) {
        if (is_lost(input)) needed_[static_cast<size_t>(graph_.value(input).producer)] = true;
      }
    };
    for (const Node& node : graph_.nodes()) {
      if (is_backward(node)) need(node);
    }
    for (size_t i = segments_.size(); i-- > 0;) {
      if (needed_[i]) need(graph_.nodes()[i]);
    }
  }

  std::vector<ValueId> mapped(const std::vector<ValueId>& old) const {
    std::vector<ValueId> now;
    now.reserve(old.size());
    for (const ValueId id : old) now.push_back(is_lost(id) ? again_[at(id)] : rewrite_(id));
    return now;
  }

  void compute_again(int segment) {
    for (size_t i = 0; i < segments_.size(); ++i) {
      if (segments_[i] != segment || !needed_[i]) continue;
      needed_[i] = false;  // once
      const Node& node = graph_.nodes()[i];
      const auto outputs = rewrite_.result().add_node(node.op, mapped(node.inputs),
                                                      Phase::kInputGrad, node.layer, node.name);
      rewrite_.result().mark_recomputed();
      for (size_t k = 0; k < outputs.size(); ++k) again_[at(node.outputs[k])] = outputs[k];
    }
  }

  const Graph& graph_;
  Rewrite rewrite_;
  std::vector<int> segments_;   // of nodes
  std::vector<bool> needed_;    // nodes
  std::vector<bool> kept_;      // values
  std::vector<ValueId> again_;  // where a lost value was computed again
};

}  // namespace

Graph recompute(const Graph& graph, Recompute mode) {
  if (mode == Recompute::kNone) return graph;
  return Pass(graph, mode).run();
}

}  // namespace ashlar::passes
