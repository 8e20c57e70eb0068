// Where the values of a graph lie while it is being sharded, and the collectives that bring one
// from how it lies to how it is wanted. A form made once is used again within forward, within
// backward and within the update; gathered parameters never cross from one to the other (one gather
// for each region of use, as ZeRO-3 has it), gathered activations do. The head's gradients belong
// to forward: they follow its loss at once, and fuse makes one op of them.
#pragma once

#include "ashlar/passes/rewrite.h"
#include "ashlar/passes/shard.h"

#include <map>
#include <string>
#include <string_view>
#include <vector>

namespace ashlar::passes {

class ShardForms {
 public:
  ShardForms(Rewrite& rewrite, const ShardPlan& plan, int rank,
             const std::vector<Placement>& variables)
      : rewrite_(rewrite), plan_(plan), rank_(rank), variables_(variables) {}

  const Placement& placement(graph::ValueId old) const;
  // How a value of the source lies, and where it now is.
  void set(graph::ValueId old, graph::ValueId now, const Placement& placement);

  // The value as `wanted`, for a node of that phase. `node` gives collectives their layer and
  // label.
  graph::ValueId bring(graph::ValueId old, const Placement& wanted, const graph::Node& node);
  // From now on the value lies as `placement` says, which it has been brought to: its terms of a
  // sum are not used again.
  void settle(graph::ValueId old, const Placement& placement);
  // Whether bring() can, and the bytes a rank sends for one axis, about. Infinite: it cannot.
  double cost(graph::ValueId old, size_t axis, const AxisPlacement& wanted,
              const graph::Node& node) const;

  // How each value of the result lies, those on the way from one form to another too.
  const std::map<graph::ValueId, PlacedValue>& placed() const { return placed_; }
  // Values of the result that the ranks of an axis hold alike.
  std::vector<bool> alike_along(std::string_view axis) const;

  // What a rank holds of a Variable's version after an op changed a part of it: gathers it back.
  graph::ValueId gather_back(graph::ValueId part, graph::ValueId old, const Placement& placed,
                             const graph::Node& node);
  // Adds a gradient that is a term of a sum to the rows of a sharded gradient Variable.
  graph::ValueId reduce_into(graph::ValueId term, graph::ValueId variable,
                             const Placement& placement, bool first, const graph::Node& node);

 private:
  struct Form {
    Placement placement;
    graph::ValueId value;
    int region;
  };
  // One change along one axis of a value that lies as `form` says.
  void step(Form& form, graph::ValueId old, size_t axis, const AxisPlacement& wanted,
            const graph::Node& node);
  void sum_everywhere(Form& form, graph::ValueId old, const std::vector<size_t>& axes,
                      const graph::Node& node);
  graph::ValueId add(graph::OpPtr op, std::vector<graph::ValueId> inputs, graph::Phase phase,
                     const graph::Node& node, const char* suffix);

  // Notes how a value of the result lies, which is a form of `old`.
  void note(graph::ValueId old, graph::ValueId now, const Placement& placement);

  const graph::Variable* variable_of(graph::ValueId old) const;
  int region(graph::ValueId old, const graph::Node& node) const;
  comm::Group group(const std::vector<size_t>& axes) const;
  graph::Dim rows_on(graph::ValueId old, const Placement& placement) const;
  Slice rows_of(int64_t all, size_t axis) const;

  Rewrite& rewrite_;
  const ShardPlan& plan_;
  int rank_;
  const std::vector<Placement>& variables_;
  std::map<graph::ValueId, std::vector<Form>> forms_;  // the first one is how it was made
  std::map<graph::ValueId, PlacedValue> placed_;       // by ids of the result
};

// A split is a split, whichever axis cuts first.
bool same_form(const AxisPlacement& a, const AxisPlacement& b);

}  // namespace ashlar::passes
