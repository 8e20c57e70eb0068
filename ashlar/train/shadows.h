// The start of parameters that are read through 16-bit shadows: rounded from their f32 masters. Of
// masters that ZeRO 1 and 2 share out, each rank rounds its rows and all get those of the others;
// later the update does both.
#pragma once

#include "ashlar/comm/communicator.h"
#include "ashlar/graph/graph.h"
#include "ashlar/passes/shard.h"
#include "ashlar/runtime/variable_store.h"

namespace ashlar::train {

// Behind VariableStore::add_missing and loading. graph: of this rank, or of a stage it holds, as
// `plan` sharded it. All ranks that hold the same Variables call it together; comm may be null
// where the plan is of one rank.
void make_shadows(const graph::Graph& graph, const passes::ShardPlan& plan,
                  runtime::VariableStore& store, comm::Communicator* comm);

}  // namespace ashlar::train
