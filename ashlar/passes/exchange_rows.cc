#include "ashlar/passes/exchange_rows.h"

#include "ashlar/graph/ops/moe_assign.h"
#include "ashlar/graph/ops/moe_exchange.h"
#include "ashlar/graph/ops/moe_rows.h"
#include "ashlar/passes/rewrite.h"

#include <map>

namespace ashlar::passes {
namespace {

using graph::Graph;
using graph::MoeExchangeOp;
using graph::Node;
using graph::ValueId;

template <typename T>
bool is(const Node& node) {
  return dynamic_cast<const T*>(node.op.get()) != nullptr;
}

class Pass {
 public:
  explicit Pass(const Graph& graph) : graph_(graph), rewrite_(graph) {}

  Graph run() {
    for (const Node& node : graph_.nodes()) {
      if (is<graph::MoeAssignOp>(node)) {
        count(node);
      } else if (is<graph::MoeDispatchOp>(node) || is<graph::MoeCombineRowsGradOp>(node)) {
        const ValueId rows = rewrite_.copy(node)[0];
        rewrite_.map(node.outputs[0],
                     exchange(node, rows, node.inputs[2], MoeExchangeOp::To::kExperts));
      } else if (is<graph::MoeCombineOp>(node)) {
        std::vector<ValueId> inputs = rewrite_(node.inputs);
        ValueId& rows = inputs[graph::MoeCombineOp::kRows];
        rows = exchange(node, rows, node.inputs[graph::MoeCombineOp::kSources],
                        MoeExchangeOp::To::kTokens);
        back_[node.inputs[graph::MoeCombineOp::kRows]] = rows;
        rewrite_.copy(node, node.op, std::move(inputs));
      } else if (is<graph::MoeCombineWeightsGradOp>(node)) {
        // The rows that were combined, which have come back already.
        std::vector<ValueId> inputs = rewrite_(node.inputs);
        inputs[1] = back_.at(node.inputs[1]);
        rewrite_.copy(node, node.op, std::move(inputs));
      } else {
        rewrite_.copy(node);
      }
    }
    return rewrite_.take();
  }

 private:
  struct Exchange {
    ValueId counts;
    int64_t top_k;
    double padded;
  };

  // What reads the offsets are the experts' products: they get those of the experts' rows.
  void count(const Node& node) {
    const auto assigned = rewrite_.copy(node);
    const auto counted =
        rewrite_.result().add_node(std::make_shared<graph::MoeCountsOp>(), {assigned[2]},
                                   node.phase, node.layer, node.name + ".counts");
    rewrite_.map(node.outputs[2], counted[1]);
    const auto& spec = dynamic_cast<const graph::MoeAssignOp&>(*node.op).spec();
    const int64_t top_k = graph_.type(node.inputs[0]).shape[1].offset;
    exchanges_[node.outputs[1]] = {counted[0], top_k, spec.padded ? spec.capacity : 0};
  }

  ValueId exchange(const Node& node, ValueId rows, ValueId sources, MoeExchangeOp::To to) {
    const Exchange& with = exchanges_.at(sources);
    const MoeExchangeOp::Spec spec{to, with.top_k, with.padded};
    return rewrite_.result().add_node(std::make_shared<MoeExchangeOp>(spec),
                                      {rows, with.counts, rewrite_(sources)}, node.phase,
                                      node.layer, node.name + ".exchange")[0];
  }

  const Graph& graph_;
  Rewrite rewrite_;
  std::map<ValueId, Exchange> exchanges_;  // by the sources of an assignment
  std::map<ValueId, ValueId> back_;        // rows of experts -> the same of tokens
};

}  // namespace

Graph exchange_rows(const Graph& graph) { return Pass(graph).run(); }

}  // namespace ashlar::passes
