#include "ashlar/passes/part_norms.h"

#include "ashlar/graph/ops/norm_sums.h"
#include "ashlar/passes/rewrite.h"

#include <memory>
#include <string>
#include <utility>
#include <vector>

namespace ashlar::passes {
namespace {

using graph::Graph;
using graph::Node;
using graph::NormSpec;
using graph::ValueId;
using Grad = graph::NormInputGradOp;

class Parter {
 public:
  Parter(const Graph& graph, const ShardPlan& plan) : graph_(graph), plan_(plan), rewrite_(graph) {}

  Graph run() {
    for (const Node& node : graph_.nodes()) {
      if (const auto* norm = dynamic_cast<const graph::NormOp*>(node.op.get());
          norm != nullptr && is_shared(norm->spec(), node.inputs[1]) && !node.inputs[2].valid()) {
        part(node, norm->spec());
      } else if (const auto* grad = dynamic_cast<const Grad*>(node.op.get());
                 grad != nullptr && is_shared(grad->spec(), node.inputs[Grad::kWeight]) &&
                 !node.inputs[Grad::kResidual].valid()) {
        part_grad(node, grad->spec());
      } else {
        rewrite_.copy(node);
      }
    }
    return rewrite_.take();
  }

 private:
  bool is_shared(const NormSpec& spec, ValueId weight) const {
    const graph::VariableId id = graph_.value(weight).variable;
    if (spec.kind != graph::NormKind::kRms || spec.group != 0 || !id.valid()) return false;
    return variable_placement(graph_, graph_.variable(id), plan_)
        .on(plan_.mesh, "tensor")
        .is_split();
  }

  int64_t columns(ValueId x) const { return graph_.type(x).shape[1].offset; }

  std::vector<ValueId> add(graph::OpPtr op, std::vector<ValueId> inputs, const Node& node,
                           const std::string& suffix) {
    return rewrite_.result().add_node(std::move(op), std::move(inputs), node.phase, node.layer,
                                      node.name + suffix);
  }

  void part(const Node& node, const NormSpec& spec) {
    const ValueId x = rewrite_(node.inputs[0]), weight = rewrite_(node.inputs[1]);
    const auto squares =
        add(std::make_shared<graph::RowDotOp>(), {x, x, ValueId{}}, node, ".squares");
    const auto norm = add(std::make_shared<graph::SummedNormOp>(spec, columns(node.inputs[0])),
                          {x, weight, squares[0]}, node, "");
    for (size_t i = 0; i < norm.size(); ++i) rewrite_.map(node.outputs[i], norm[i]);
  }

  void part_grad(const Node& node, const NormSpec& spec) {
    const std::vector<ValueId> in = rewrite_(node.inputs);
    const ValueId x = in[Grad::kX], weight = in[Grad::kWeight], d_y = in[Grad::kDy];
    const auto products = add(std::make_shared<graph::RowDotOp>(spec.zero_centred),
                              {d_y, x, weight}, node, ".products");
    const auto d_x =
        add(std::make_shared<graph::SummedNormGradOp>(spec, columns(node.inputs[Grad::kX])),
            {x, weight, in[Grad::kRstd], d_y, products[0]}, node, "");
    rewrite_.map(node.outputs[0], d_x[0]);
  }

  const Graph& graph_;
  const ShardPlan& plan_;
  Rewrite rewrite_;
};

}  // namespace

Graph part_norms(const Graph& graph, const ShardPlan& plan) { return Parter(graph, plan).run(); }

}  // namespace ashlar::passes
