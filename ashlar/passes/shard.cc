#include "ashlar/passes/shard.h"

#include "ashlar/base/error.h"
#include "ashlar/graph/ops/collective.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/moe_rows.h"
#include "ashlar/passes/exchange_rows.h"
#include "ashlar/passes/part_norms.h"
#include "ashlar/passes/shard_forms.h"

#include <algorithm>
#include <cmath>
#include <limits>
#include <map>
#include <set>
#include <utility>

namespace ashlar::passes {
namespace {

using graph::AxisStrategy;
using graph::Graph;
using graph::Node;
using graph::Phase;
using graph::ValueId;
using graph::ValueType;
using graph::Variable;
using graph::VariableKind;

// Where an op takes what is added to its result; -1: nowhere, or nothing is.
int residual_slot(const Node& node) {
  const auto slot = [&](int input) {
    return node.inputs[static_cast<size_t>(input)].valid() ? input : -1;
  };
  if (dynamic_cast<const graph::LinearOp*>(node.op.get()) != nullptr) {
    return slot(graph::LinearOp::kResidual);
  }
  const bool combines = dynamic_cast<const graph::MoeCombineOp*>(node.op.get()) != nullptr;
  return combines ? slot(graph::MoeCombineOp::kResidual) : -1;
}

// linear(x, W) + residual as two nodes: where the product is a sum over ranks, the residual is
// added behind it. The fuse pass puts them together again where no collective came between.
Graph part_residuals(const Graph& graph) {
  Rewrite rewrite(graph);
  for (const Node& node : graph.nodes()) {
    const int slot = residual_slot(node);
    if (slot < 0) {
      rewrite.copy(node);
      continue;
    }
    std::vector<ValueId> inputs = rewrite(node.inputs);
    const ValueId residual = std::exchange(inputs[static_cast<size_t>(slot)], {});
    const auto product = rewrite.copy(node, node.op, std::move(inputs));
    rewrite.map(node.outputs[0],
                rewrite.result().add_node(std::make_shared<graph::AddOp>(), {residual, product[0]},
                                          node.phase, node.layer, node.name + ".add")[0]);
  }
  return rewrite.take();
}

class Sharder {
 public:
  Sharder(const Graph& graph, const ShardPlan& plan, int rank)
      : graph_(graph),
        plan_(plan),
        rank_(rank),
        placements_(placements()),
        rewrite_(graph, [&](Variable& variable) { cut(variable); }),
        forms_(rewrite_, plan, rank, placements_) {
    place_inputs();
  }

  ShardedGraph run() {
    for (const Node& node : graph_.nodes()) place(node);
    std::vector<bool> alike = forms_.alike_along("tensor");
    return {rewrite_.take(), std::move(placements_), std::move(alike), forms_.placed()};
  }

 private:
  size_t axes() const { return plan_.mesh.axes().size(); }
  std::string_view axis_name(size_t axis) const { return plan_.mesh.axes()[axis].name; }

  std::vector<Placement> placements() const {
    std::vector<Placement> result;
    for (const Variable& variable : graph_.variables()) {
      result.push_back(variable_placement(graph_, variable, plan_));
    }
    return result;
  }

  void cut(Variable& variable) const {
    const Placement& placement =
        placements_[static_cast<size_t>(graph_.find_variable(variable.name)->index)];
    const auto part = local_part(placement, plan_.mesh, rank_, variable.shape.dims());
    std::vector<int64_t> sizes;
    for (const Slice& slice : part) sizes.push_back(slice.length);
    const Shape local{std::span<const int64_t>(sizes)};
    if (local == variable.shape) return;
    variable.whole = variable.shape;
    variable.part = part;
    variable.shape = local;
  }

  // Tokens are dealt out along the axes on which ranks see other tokens; data and expert ranks have
  // sequences of their own, context ranks share them.
  void place_inputs() {
    for (size_t i = 0; i < graph_.values().size(); ++i) {
      const ValueId id{static_cast<int32_t>(i)};
      const graph::ValueInfo& value = graph_.value(id);
      if (value.producer >= 0) continue;
      Placement placement = Placement::replicated(plan_.mesh);
      if (value.variable.valid()) {
        placement = placements_[static_cast<size_t>(value.variable.index)];
      } else if (value.type.shape.rank() > 0 && !value.type.shape[0].fixed()) {
        const bool tokens = value.type.shape[0].symbol == graph::Symbol::kTokens;
        for (const char* axis : {"data", "expert", "context"}) {
          if (plan_.mesh.size(axis) == 1 || (axis == std::string_view("context") && !tokens)) {
            continue;
          }
          placement = placement.with(plan_.mesh, axis, AxisPlacement::split(0));
        }
      }
      forms_.set(id, rewrite_(id), placement);
    }
  }

  // Rows of tokens may be split along an axis if it is one that sees other tokens.
  bool allows(size_t axis, ValueId input, const AxisPlacement& wanted) const {
    if (!wanted.is_split() || wanted.dim != 0 || axis_name(axis) != "tensor") return true;
    return plan_.sequence || graph_.type(input).shape[0].fixed();
  }

  double cost(const Node& node, size_t axis, const AxisStrategy& way) const {
    double sum = 0;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId input = node.inputs[i];
      if (!input.valid()) continue;
      const AxisPlacement& wanted = way.inputs[i];
      if (!allows(axis, input, wanted)) return std::numeric_limits<double>::infinity();
      const bool left_out = wanted.is_partial() && node.op->optional_input(static_cast<int>(i)) &&
                            forms_.placement(input).axes[axis] == AxisPlacement::replicated();
      if (!left_out) sum += forms_.cost(input, axis, wanted, node);
    }
    return sum;
  }

  AxisStrategy choose(const Node& node, size_t axis, std::span<const ValueType> types) const {
    std::vector<AxisPlacement> now;
    for (const ValueId input : node.inputs) {
      now.push_back(input.valid() ? forms_.placement(input).axes[axis] : AxisPlacement());
    }
    const graph::AxisSite site{
        .axis = axis_name(axis),
        .inputs = types,
        .now = now,
        .whole_sequences = axis_name(axis) == "data" || axis_name(axis) == "expert",
        .ring = axis_name(axis) == "context" && plan_.context != ContextParallel::kUlysses};
    std::vector<AxisStrategy> ways = node.op->strategies(site);
    ways.push_back(
        graph::alike(node.inputs.size(), node.outputs.size(), AxisPlacement::replicated()));
    const AxisStrategy* best = nullptr;
    double least = std::numeric_limits<double>::infinity();
    for (const AxisStrategy& way : ways) {
      const double cost = this->cost(node, axis, way);
      if (cost < least) {
        best = &way;
        least = cost;
      }
    }
    ASHLAR_CHECK(best != nullptr,
                 "shard: op {} ({}) cannot run along {} where its inputs lie as {}", node.name,
                 node.op->kind(), axis_name(axis), text(now));
    return *best;
  }

  static std::string text(std::span<const AxisPlacement> placements) {
    std::string result;
    for (const AxisPlacement& placement : placements) {
      result += (result.empty() ? "" : ", ") + placement.str();
    }
    return result;
  }

  struct Way {
    std::vector<Placement> inputs, outputs;
  };

  Way choose(const Node& node) const {
    std::vector<ValueType> types;
    for (const ValueId input : node.inputs) {
      types.push_back(input.valid() ? graph_.type(input) : ValueType::absent());
    }
    const Placement replicated = Placement::replicated(plan_.mesh);
    Way way{std::vector<Placement>(node.inputs.size(), replicated),
            std::vector<Placement>(node.outputs.size(), replicated)};
    for (size_t axis = 0; axis < axes(); ++axis) {
      if (plan_.mesh.axes()[axis].size == 1 || axis_name(axis) == "pipe") continue;
      const AxisStrategy chosen = choose(node, axis, types);
      for (size_t i = 0; i < way.inputs.size(); ++i) way.inputs[i].axes[axis] = chosen.inputs[i];
      for (size_t o = 0; o < way.outputs.size(); ++o) way.outputs[o].axes[axis] = chosen.outputs[o];
    }
    return way;
  }

  // A Variable that the node changes, by output; -1: none.
  static int changed_input(const Node& node, int output) {
    for (const graph::Alias& alias : node.op->aliases()) {
      if (alias.required && alias.output == output) return alias.input;
    }
    return -1;
  }

  bool is_sharded(const Placement& placement) const {
    return std::ranges::any_of(placement.axes, &AxisPlacement::is_shard);
  }

  // What an optional input is on a rank that leaves it to the first one, and what is wanted of it.
  bool left_out(const Node& node, size_t i, Placement& wanted) const {
    bool leave = false;
    for (size_t axis = 0; axis < axes(); ++axis) {
      const AxisPlacement& now = forms_.placement(node.inputs[i]).axes[axis];
      if (!wanted.axes[axis].is_partial() || now.is_partial()) continue;
      if (!node.op->optional_input(static_cast<int>(i))) continue;
      wanted.axes[axis] = AxisPlacement::replicated();
      leave = leave || plan_.mesh.coordinates(rank_)[axis] != 0;
    }
    return leave;
  }

  ValueId local_input(const Node& node, size_t i, Placement wanted, bool changes) {
    const ValueId input = node.inputs[i];
    if (!input.valid()) return {};
    if (changes && node.phase != Phase::kUpdate) {
      // A gradient: itself, or where its term is made before it is summed into shards, on top of
      // the terms that wait to leave with it.
      if (!is_sharded(forms_.placement(input))) return rewrite_(input);
      if (const auto waiting = waiting_.find(input); waiting != waiting_.end()) {
        return waiting->second.term;
      }
      ValueType type = graph_.type(input);
      Placement term = forms_.placement(input);
      for (AxisPlacement& on : term.axes) {
        if (on.is_shard()) on = AxisPlacement::replicated();
      }
      type.shape = graph::SymShape(Shape(std::span<const int64_t>(
          local_shape(term, plan_.mesh, rank_, type.shape.bind({}).dims()))));
      return rewrite_.result().add_node(std::make_shared<graph::ZerosOp>(std::move(type)), {},
                                        node.phase, node.layer, node.name + ".zeros")[0];
    }
    if (left_out(node, i, wanted)) return {};
    return forms_.bring(input, wanted, node);
  }

  // Gradients that are terms are summed before the update reads them: whole, or where its moments
  // are sharded, to this rank's rows.
  void sum_gradients(const Node& node) {
    for (const ValueId input : node.inputs) {
      if (!input.valid() || !forms_.placement(input).is_partial()) continue;
      const graph::VariableId id = graph_.value(input).variable;
      if (!id.valid()) continue;
      Variable moment = graph_.variable(id);
      moment.kind = VariableKind::kOptimizer;
      const Placement lies = variable_placement(graph_, moment, plan_);
      forms_.set(input, forms_.bring(input, lies, node), lies);
    }
  }

  // Stages of a pipeline may part between any two layers: what crosses is the sum that the first op
  // behind wants, not its terms, of which each rank would have to send all.
  void settle_between_layers(const Node& node, const Way& way) {
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      const ValueId input = node.inputs[i];
      if (!input.valid() || graph_.value(input).variable.valid()) continue;
      const int maker = graph_.value(input).producer;
      if (maker < 0 || graph_.node(maker).layer == node.layer) continue;
      if (forms_.placement(input).is_partial() && !way.inputs[i].is_partial()) {
        forms_.settle(input, way.inputs[i]);
      }
    }
  }

  // The slice of a Variable that a value of the result is.
  Part part_of(ValueId value) {
    if (!value.valid()) return {};
    const graph::VariableId id = rewrite_.result().value(value).variable;
    return id.valid() ? rewrite_.result().variable(id).part : Part{};
  }

  void place(const Node& node) {
    if (node.phase == Phase::kUpdate) sum_gradients(node);
    const Way way = choose(node);
    std::vector<ValueId> inputs;
    std::vector<ValueType> types, whole;
    std::vector<Part> parts;
    for (size_t i = 0; i < node.inputs.size(); ++i) {
      bool changes = false;
      for (size_t o = 0; o < node.outputs.size(); ++o) {
        changes = changes || (changed_input(node, static_cast<int>(o)) == static_cast<int>(i) &&
                              graph_.value(node.outputs[o]).variable.valid());
      }
      inputs.push_back(local_input(node, i, way.inputs[i], changes));
      types.push_back(inputs.back().valid() ? rewrite_.result().type(inputs.back())
                                            : ValueType::absent());
      whole.push_back(node.inputs[i].valid() ? graph_.type(node.inputs[i]) : ValueType::absent());
      parts.push_back(part_of(inputs.back()));
    }
    if (plan_.mesh.size("pipe") > 1) settle_between_layers(node, way);
    const graph::LocalSite site{plan_.mesh, rank_,
                                types,      whole,
                                way.inputs, {plan_.seq, plan_.context == ContextParallel::kZigzag},
                                node.name,  parts};
    graph::OpPtr op = node.op->local(site);
    if (op == nullptr) op = node.op;
    const auto outputs =
        rewrite_.result().add_node(std::move(op), inputs, node.phase, node.layer, node.name);
    for (size_t o = 0; o < node.outputs.size(); ++o) {
      finish(node, o, outputs[o], way.outputs[o]);
    }
  }

  // An output that is a Variable's new version may still have to come together, or to be summed.
  void finish(const Node& node, size_t o, ValueId output, const Placement& placed) {
    const ValueId old = node.outputs[o];
    const graph::VariableId id = graph_.value(old).variable;
    if (!id.valid()) {
      forms_.set(old, output, placed);
      return;
    }
    const ValueId before =
        node.inputs[static_cast<size_t>(changed_input(node, static_cast<int>(o)))];
    const Placement& lies = forms_.placement(before);
    if (node.phase != Phase::kUpdate) {
      if (is_sharded(lies)) {
        bool first = graph_.value(before).producer < 0;
        if (const auto waiting = waiting_.find(before); waiting != waiting_.end()) {
          first = waiting->second.first;
          check_same_terms(node, before, waiting->second.placed, placed);
        }
        // What the other axes owe is still owed.
        Placement after = lies;
        for (size_t axis = 0; axis < axes(); ++axis) {
          if (placed.axes[axis].is_partial() && !lies.axes[axis].is_shard()) {
            after.axes[axis] = AxisPlacement::partial();
          }
        }
        if (gets_more_terms(old)) {
          const ValueId gradient = rewrite_(before);
          waiting_[old] = {output, placed, first};
          forms_.set(old, gradient, after);
          return;
        }
        forms_.set(old, forms_.reduce_into(output, rewrite_(before), lies, first, node), after);
      } else {
        check_terms(node, before, placed);
        forms_.set(old, output, placed);
      }
      return;
    }
    const bool whole = std::ranges::equal(lies.axes, placed.axes, same_form);
    const Placement after = lies;
    forms_.set(old, whole ? output : forms_.gather_back(output, before, placed, node), after);
  }

  // A sharded gradient with several terms (of a tied table) sends their sum, once the last is made.
  // In a pipeline they are made on several stages, and each sends its own.
  bool gets_more_terms(ValueId gradient) const {
    return plan_.mesh.size("pipe") == 1 &&
           std::ranges::any_of(graph_.nodes(), [&](const Node& node) {
             if (node.phase >= Phase::kReduce) return false;
             for (size_t o = 0; o < node.outputs.size(); ++o) {
               const int slot = changed_input(node, static_cast<int>(o));
               if (slot >= 0 && node.inputs[static_cast<size_t>(slot)] == gradient) return true;
             }
             return false;
           });
  }

  // Two nodes that add to one gradient must agree on whether it is a sum over ranks.
  void check_terms(const Node& node, ValueId before, const Placement& placed) const {
    if (graph_.value(before).producer < 0) return;
    check_same_terms(node, before, forms_.placement(before), placed);
  }
  void check_same_terms(const Node& node, ValueId before, const Placement& earlier,
                        const Placement& placed) const {
    for (size_t axis = 0; axis < axes(); ++axis) {
      const AxisPlacement& was = earlier.axes[axis];
      ASHLAR_CHECK(was == placed.axes[axis],
                   "shard: op {} adds to gradient {} as {} along {}, an earlier one as {}",
                   node.name, graph_.value(before).name, placed.axes[axis].str(), axis_name(axis),
                   was.str());
    }
  }

  const Graph& graph_;
  const ShardPlan& plan_;
  int rank_;
  std::vector<Placement> placements_;
  Rewrite rewrite_;
  ShardForms forms_;
  // Terms of sharded gradients that leave with those still to be made, by the version they make.
  struct Waiting {
    ValueId term;
    Placement placed;
    bool first = false;  // of the gradient's terms
  };
  std::map<ValueId, Waiting> waiting_;
};

}  // namespace

ShardedGraph shard(const Graph& graph, const ShardPlan& plan, int rank) {
  Graph parted = part_residuals(graph);
  if (plan.mesh.size("tensor") > 1) parted = part_norms(parted, plan);
  if (plan.mesh.size("expert") > 1) parted = exchange_rows(parted);
  return Sharder(parted, plan, rank).run();
}

}  // namespace ashlar::passes
