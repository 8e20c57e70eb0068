// What the ranks of a job hold of the state of training, parameters and moments: every Variable
// with the shape of its whole, its distinct parts, and the ranks that hold each of them alike. All
// ranks know the same list.
#pragma once

#include "ashlar/comm/communicator.h"
#include "ashlar/graph/graph.h"
#include "ashlar/mesh/part.h"
#include "ashlar/runtime/variable_store.h"

#include <string>
#include <vector>

namespace ashlar::train {

// One rank's graphs: one, or one for each of its chunks of a pipeline.
using RankGraphs = std::vector<const graph::Graph*>;

struct HeldPart {
  Part part;
  std::vector<int> ranks;  // ascending
};

struct StateVariable {
  std::string name;
  graph::VariableKind kind = graph::VariableKind::kParameter;
  DType dtype = DType::kF32;
  Shape whole;
  std::vector<HeldPart> parts;  // disjoint, covering the whole
};

struct StateLayout {
  int ranks = 1;
  std::vector<StateVariable> variables;  // in the order of rank 0, then what rank 1 has besides ...

  const StateVariable& find(const std::string& name) const;
};

// The parameters and moments that the store holds of these graphs; with a communicator, those of
// all ranks, which must call this together. Throws Error naming a Variable of which ranks hold
// different wholes, parts that overlap without being equal, or not all.
StateLayout state_layout(const RankGraphs& graphs, const runtime::VariableStore& store,
                         comm::Communicator* comm);

// The same of all ranks' graphs, before any of them has a store.
StateLayout state_layout(const std::vector<RankGraphs>& ranks);

}  // namespace ashlar::train
