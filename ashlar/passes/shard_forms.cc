#include "ashlar/passes/shard_forms.h"

#include "ashlar/base/error.h"
#include "ashlar/graph/ops/all_to_all.h"
#include "ashlar/graph/ops/collective.h"
#include "ashlar/graph/ops/loss.h"

#include <algorithm>
#include <limits>

namespace ashlar::passes {
namespace {

using graph::Dim;
using graph::Node;
using graph::Phase;
using graph::Symbol;
using graph::ValueId;
using graph::VariableKind;

constexpr double kCannot = std::numeric_limits<double>::infinity();

bool is_rows(const AxisPlacement& placement) { return placement.is_split() && placement.dim == 0; }
bool is_columns(const AxisPlacement& placement) {
  return placement.is_split() && placement.dim == 1;
}

}  // namespace

bool same_form(const AxisPlacement& a, const AxisPlacement& b) {
  return a == b || (a.is_split() && b.is_split() && a.dim == b.dim);
}

const Placement& ShardForms::placement(ValueId old) const {
  return forms_.at(old).front().placement;
}

void ShardForms::set(ValueId old, ValueId now, const Placement& placement) {
  rewrite_.map(old, now);
  forms_[old] = {{placement, now, -1}};
  note(old, now, placement);
}

void ShardForms::note(ValueId old, ValueId now, const Placement& placement) {
  placed_[now] = {rewrite_.source().type(old), placement};
}

std::vector<bool> ShardForms::alike_along(std::string_view axis) const {
  std::vector<bool> alike(rewrite_.result().values().size(), false);
  for (const auto& [old, forms] : forms_) {
    for (const Form& form : forms) {
      alike[static_cast<size_t>(form.value.index)] =
          form.placement.on(plan_.mesh, axis) == AxisPlacement::replicated();
    }
  }
  return alike;
}

const graph::Variable* ShardForms::variable_of(ValueId old) const {
  const graph::VariableId id = rewrite_.source().value(old).variable;
  return id.valid() ? &rewrite_.source().variable(id) : nullptr;
}

int ShardForms::region(ValueId old, const Node& node) const {
  const graph::Variable* variable = variable_of(old);
  if (node.phase == Phase::kUpdate) return 2;
  const bool of_loss = dynamic_cast<const graph::LinearCrossEntropyGradOp*>(node.op.get());
  return node.phase != Phase::kForward && !of_loss && variable != nullptr ? 1 : 0;
}

comm::Group ShardForms::group(const std::vector<size_t>& axes) const {
  std::vector<std::string> names;
  for (const size_t axis : axes) names.push_back(plan_.mesh.axes()[axis].name);
  return comm::group_along(plan_.mesh, rank_, names);
}

Slice ShardForms::rows_of(int64_t all, size_t axis) const {
  return slice_of(all, plan_.mesh.axes()[axis].size, plan_.mesh.coordinates(rank_)[axis]);
}

// What dim 0 is bound to when a value lies like that.
Dim ShardForms::rows_on(ValueId old, const Placement& placement) const {
  const graph::ValueType& type = rewrite_.source().type(old);
  const Dim rows = type.shape[0];
  if (rows.fixed()) {
    std::vector<int64_t> sizes;
    for (const Dim& dim : type.shape.dims()) sizes.push_back(dim.fixed() ? dim.offset : 1);
    return {local_shape(placement, plan_.mesh, rank_, sizes)[0]};
  }
  const bool together =
      plan_.mesh.size("context") > 1 && !is_rows(placement.on(plan_.mesh, "context"));
  if (together) return {Symbol::kWhole, rows.factor, rows.offset};
  const bool shared = is_rows(placement.on(plan_.mesh, "tensor")) && plan_.mesh.size("tensor") > 1;
  return shared ? Dim(Symbol::kPart, rows.factor, rows.offset) : rows;
}

double ShardForms::cost(ValueId old, size_t axis, const AxisPlacement& wanted,
                        const Node& node) const {
  const std::vector<Form>& forms = forms_.at(old);
  const int region = this->region(old, node);
  const graph::Variable* variable = variable_of(old);
  // Only the update works on shards: elsewhere rows of a weight are no piece of its dim.
  if (variable != nullptr && forms.front().placement.axes[axis].is_shard() &&
      node.phase != Phase::kUpdate && wanted.is_split()) {
    return kCannot;
  }
  for (const Form& form : forms) {
    if ((form.region < 0 || form.region == region) &&
        same_form(form.placement.axes[axis], wanted)) {
      return 0;
    }
  }
  const AxisPlacement& now = forms.front().placement.axes[axis];
  const graph::ValueType& type = rewrite_.source().type(old);
  const auto bytes =
      static_cast<double>(type.shape.bind(plan_.max).elements() * size_of(type.dtype));
  if (variable != nullptr) {
    if (variable->kind == VariableKind::kGradient && node.phase != Phase::kUpdate) {
      // What adds to it decides whether it is a term; a shard takes the sum of terms.
      if (now.is_split() && !now.is_shard()) return kCannot;
      return wanted.is_partial() || (wanted == now && !now.is_shard()) ? 0 : kCannot;
    }
    // Weights stay where the plan put them, but for ZeRO's shards.
    if (now.is_shard()) return wanted == AxisPlacement::replicated() ? bytes : kCannot;
    if (now.is_partial()) {
      return wanted.is_split() ? (is_rows(wanted) ? bytes : kCannot) : 2 * bytes;
    }
    const bool part = node.phase == Phase::kUpdate && plan_.zero > 0 && is_rows(wanted) &&
                      plan_.mesh.axes()[axis].name != "tensor";
    return now == AxisPlacement::replicated() && part ? 0 : kCannot;
  }
  if (now.is_partial()) {
    if (wanted == AxisPlacement::replicated()) return 2 * bytes;
    return is_rows(wanted) ? bytes : kCannot;
  }
  if (now == AxisPlacement::replicated()) return is_rows(wanted) ? 1 : kCannot;
  const bool turns = (is_rows(now) && is_columns(wanted)) || (is_columns(now) && is_rows(wanted));
  if (plan_.mesh.axes()[axis].name == "context") {
    // Rows of all ranks one after another would not be in the microbatch's order.
    return turns ? bytes / plan_.mesh.axes()[axis].size : kCannot;
  }
  if (is_rows(now) && wanted == AxisPlacement::replicated()) return bytes;
  return kCannot;
}

ValueId ShardForms::add(graph::OpPtr op, std::vector<ValueId> inputs, Phase phase, const Node& node,
                        const char* suffix) {
  return rewrite_.result().add_node(std::move(op), std::move(inputs), phase, node.layer,
                                    node.name + "." + suffix)[0];
}

ValueId ShardForms::bring(ValueId old, const Placement& wanted, const Node& node) {
  std::vector<Form>& forms = forms_.at(old);
  const int region = this->region(old, node);
  const auto fits = [&](const Form& form) {
    return (form.region < 0 || form.region == region) &&
           std::ranges::equal(form.placement.axes, wanted.axes, same_form);
  };
  const auto found = std::ranges::find_if(forms, fits);
  if (found != forms.end()) return found->value;

  Form form = forms.front();
  form.region = region;
  const size_t axes = wanted.axes.size();
  // Sums first, then rows are cut, slower axes first; then rows are gathered, faster axes first.
  std::vector<size_t> sums;
  for (size_t axis = 0; axis < axes; ++axis) {
    if (form.placement.axes[axis].is_partial() && !wanted.axes[axis].is_split() &&
        !wanted.axes[axis].is_partial()) {
      sums.push_back(axis);
    }
  }
  if (!sums.empty()) sum_everywhere(form, old, sums, node);
  for (size_t axis = 0; axis < axes; ++axis) {
    if (wanted.axes[axis].is_split()) step(form, old, axis, wanted.axes[axis], node);
  }
  for (size_t axis = axes; axis-- > 0;) {
    if (!wanted.axes[axis].is_split()) step(form, old, axis, wanted.axes[axis], node);
  }
  forms_.at(old).push_back(form);
  return form.value;
}

void ShardForms::settle(ValueId old, const Placement& placement) {
  std::vector<Form>& forms = forms_.at(old);
  const auto found = std::ranges::find_if(forms, [&](const Form& form) {
    return std::ranges::equal(form.placement.axes, placement.axes, same_form);
  });
  if (found == forms.end()) return;
  std::rotate(forms.begin(), found, found + 1);
  std::erase_if(forms, [](const Form& form) {
    return std::ranges::any_of(form.placement.axes, &AxisPlacement::is_partial);
  });
  rewrite_.map(old, forms.front().value);
}

void ShardForms::sum_everywhere(Form& form, ValueId old, const std::vector<size_t>& axes,
                                const Node& node) {
  const bool variable = variable_of(old) != nullptr;
  const graph::GroupLabel on{group(axes), node.name};
  const Phase phase = variable ? Phase::kReduce : node.phase;
  form.value = add(std::make_shared<graph::AllReduceOp>(on, 1, variable), {form.value}, phase, node,
                   "all_reduce");
  for (const size_t axis : axes) form.placement.axes[axis] = AxisPlacement::replicated();
  note(old, form.value, form.placement);
}

void ShardForms::step(Form& form, ValueId old, size_t axis, const AxisPlacement& wanted,
                      const Node& node) {
  const AxisPlacement now = form.placement.axes[axis];
  if (same_form(now, wanted)) return;
  const bool variable = variable_of(old) != nullptr;
  const graph::GroupLabel on{group({axis}), node.name};
  Placement after = form.placement;
  after.axes[axis] = wanted;
  // Backward's own: what W brings, B may use, which runs before.
  const Phase phase = node.phase == Phase::kWeightGrad ? Phase::kInputGrad : node.phase;
  const graph::ValueType& type = rewrite_.result().type(form.value);
  graph::OpPtr op;
  Phase when = phase;
  const char* suffix = "all_gather";
  if (now.is_split() && wanted.is_split()) {
    using To = graph::AllToAllOp::To;
    suffix = "all_to_all";
    const graph::ContextCut cut{plan_.seq, plan_.context == ContextParallel::kZigzag};
    op = std::make_shared<graph::AllToAllOp>(on, cut, is_columns(wanted) ? To::kColumns : To::kRows,
                                             rows_on(old, after));
  } else if (now.is_partial() && is_rows(wanted)) {
    suffix = "reduce_scatter";
    if (variable) {
      when = Phase::kReduce;
      op = std::make_shared<graph::ReduceScatterOp>(
          on, std::vector<Slice>{rows_of(type.shape[0].offset, axis)});
    } else {
      op = std::make_shared<graph::ReduceScatterOp>(on, rows_on(old, after));
    }
  } else if (is_rows(wanted)) {
    suffix = "rows";
    const int parts = plan_.mesh.axes()[axis].size;
    if (variable) {
      op = std::make_shared<graph::RowsOp>(rows_of(type.shape[0].offset, axis));
    } else {
      op = std::make_shared<graph::RowsOp>(rows_on(old, after), parts,
                                           plan_.mesh.coordinates(rank_)[axis]);
    }
  } else if (is_rows(now) && wanted == AxisPlacement::replicated()) {
    const bool from_variable = rewrite_.result().value(form.value).variable.valid();
    op = std::make_shared<graph::AllGatherOp>(on, rows_on(old, after), from_variable);
  }
  ASHLAR_CHECK(op != nullptr, "shard: {} lies as {}, and nothing brings it to {} along {} (op {})",
               rewrite_.source().value(old).name, now.str(), wanted.str(),
               plan_.mesh.axes()[axis].name, node.name);
  form.value = add(std::move(op), {form.value}, when, node, suffix);
  form.placement = after;
  note(old, form.value, after);
}

ValueId ShardForms::gather_back(ValueId part, ValueId old, const Placement& placed,
                                const Node& node) {
  // The ways from the whole to the part, walked back.
  const Form& whole = forms_.at(old).front();
  std::vector<std::pair<size_t, ValueId>> cuts;  // axis, what was cut there
  ValueId value = whole.value;
  for (size_t axis = 0; axis < placed.axes.size(); ++axis) {
    if (same_form(whole.placement.axes[axis], placed.axes[axis])) continue;
    cuts.emplace_back(axis, value);
    const Dim rows = rewrite_.result().type(value).shape[0];
    value = add(std::make_shared<graph::RowsOp>(rows_of(rows.offset, axis)), {value}, node.phase,
                node, "rows");
  }
  for (size_t i = cuts.size(); i-- > 0;) {
    const graph::GroupLabel on{group({cuts[i].first}), node.name};
    part = add(std::make_shared<graph::GatherIntoOp>(on), {part, cuts[i].second}, node.phase, node,
               "gather");
  }
  return part;
}

ValueId ShardForms::reduce_into(ValueId term, ValueId variable, const Placement& placement,
                                bool first, const Node& node) {
  std::vector<size_t> axes;
  for (size_t axis = 0; axis < placement.axes.size(); ++axis) {
    if (placement.axes[axis].is_shard()) axes.push_back(axis);
  }
  for (size_t i = 0; i + 1 < axes.size(); ++i) {
    const int64_t rows = rewrite_.result().type(term).shape[0].offset;
    term =
        add(std::make_shared<graph::ReduceScatterOp>(graph::GroupLabel{group({axes[i]}), node.name},
                                                     Dim(rows_of(rows, axes[i]).length)),
            {term}, node.phase, node, "reduce_scatter");
  }
  return add(std::make_shared<graph::ReduceIntoOp>(
                 graph::GroupLabel{group({axes.back()}), node.name}, std::vector<bool>{first}),
             {term, variable}, node.phase, node, "reduce");
}

}  // namespace ashlar::passes
