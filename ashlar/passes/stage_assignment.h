// Which stages of a pipeline run each node and hold each Variable of a training graph: the first
// half of split_stages.
#pragma once

#include "ashlar/graph/graph.h"

#include <set>
#include <vector>

namespace ashlar::passes {

using StageSet = std::set<int>;

struct StageAssignment {
  std::vector<StageSet> nodes;      // several stages: each runs its own copy
  std::vector<StageSet> variables;  // several: each holds a copy, the first is the owner of record
};

// Layers are dealt to stages as slice_of has it, and backward goes where its forward is. What
// stands before the layers goes to the first stage that reads it, what follows them to the last.
// What is computed from parameters alone (a gathered weight) is computed on each stage that reads
// it. Throws when there are fewer layers than stages.
StageAssignment assign_stages(const graph::Graph& graph, int stages);

// A gradient's, moment's or shadow's parameter; any other Variable itself.
graph::VariableId root_of(const graph::Graph& graph, graph::VariableId variable);

// An op that takes any number of Variables, of which each stage keeps its own.
bool is_distributed(const graph::Graph& graph, const graph::Node& node);

}  // namespace ashlar::passes
