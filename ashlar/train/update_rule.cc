#include "ashlar/train/update_rule.h"

#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/muon.h"

#include <memory>
#include <set>
#include <string>
#include <vector>

namespace ashlar::train {
namespace {

using graph::Graph;
using graph::Phase;
using graph::ValueId;
using graph::Variable;
using graph::VariableId;

// Gradients that linear layers write: neither embeddings nor the head.
std::set<VariableId> gradients_of_linears(const Graph& graph) {
  std::set<VariableId> result;
  for (const graph::Node& node : graph.nodes()) {
    if (dynamic_cast<const graph::LinearWeightGradOp*>(node.op.get()) != nullptr) {
      result.insert(graph.value(node.outputs[0]).variable);
    }
  }
  return result;
}

ValueId add_moment(Graph& graph, VariableId parameter, const char* suffix) {
  const Variable& source = graph.variable(parameter);
  Variable moment;
  moment.name = source.name + suffix;
  moment.kind = graph::VariableKind::kOptimizer;
  moment.dtype = DType::kF32;
  moment.shape = source.shape;
  moment.dims = source.dims;
  moment.trainable = false;
  moment.source = parameter;
  return graph.current(graph.add_variable(std::move(moment)));
}

}  // namespace

UpdateRule UpdateRule::of(const TrainSection& config) {
  return {.optimizer = config.optimizer,
          .adamw = {.beta1 = config.beta1,
                    .beta2 = config.beta2,
                    .eps = config.eps,
                    .weight_decay = config.weight_decay},
          .momentum = config.momentum,
          .decay = config.decay,
          .clip = config.clip,
          .scaled_loss = config.dtype == DType::kF16,
          .stochastic = config.rounding == Rounding::kStochastic};
}

void add_update_rule(Graph& graph, const std::map<VariableId, VariableId>& gradients,
                     const UpdateRule& rule) {
  const ValueId lr = graph.add_input("lr", {DType::kF32, {1}});
  std::vector<ValueId> all;
  for (const auto& [parameter, gradient] : gradients) all.push_back(graph.current(gradient));
  const ValueId squares = graph.add_node(std::make_shared<graph::SumSquaresOp>(), all,
                                         Phase::kUpdate, -1, "update.sum_squares")[0];
  const ValueId loss_scale =
      rule.scaled_loss ? graph.add_input("gradient_scale", {DType::kF32, {1}}) : ValueId{};
  const auto clipped = graph.add_node(std::make_shared<graph::ClipScaleOp>(rule.clip),
                                      {squares, loss_scale}, Phase::kUpdate, -1, "update.clip");
  graph.mark_output("grad_norm", clipped[0]);
  const ValueId scale = clipped[1];

  const std::set<VariableId> linears = gradients_of_linears(graph);
  for (const auto& [parameter, gradient] : gradients) {
    const Variable variable = graph.variable(parameter);
    const bool matrix = variable.matrix();
    graph::AdamWSpec adamw = rule.adamw;
    if (rule.decay == Decay::kMatrices && !matrix) adamw.weight_decay = 0;
    if (rule.stochastic && variable.dtype == DType::kBF16) {
      adamw.stochastic = variable.name + ".rounding";
    }
    const ValueId weight = graph.current(parameter), grad = graph.current(gradient);
    const std::string name = "update." + variable.name;
    if (rule.optimizer == Optimizer::kMuon && variable.shape.rank() == 2 &&
        linears.contains(gradient)) {
      const ValueId momentum = add_moment(graph, parameter, ".momentum");
      graph.add_node(
          std::make_shared<graph::MuonOp>(graph::MuonSpec{rule.momentum, adamw.weight_decay}),
          {weight, grad, momentum, lr, scale}, Phase::kUpdate, -1, name);
      continue;
    }
    const ValueId m = add_moment(graph, parameter, ".m");
    const ValueId v = add_moment(graph, parameter, ".v");
    graph.add_node(std::make_shared<graph::AdamWOp>(adamw, false),
                   {weight, grad, m, v, lr, scale, ValueId{}}, Phase::kUpdate, -1, name);
  }
}

}  // namespace ashlar::train
