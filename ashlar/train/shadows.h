// The start of 16-bit parameters whose f32 masters ranks hold in shards (ZeRO 1 and 2): each rank
// rounds its rows, and all get those of the others. Later the update does both.
#pragma once

#include "ashlar/comm/communicator.h"
#include "ashlar/graph/graph.h"
#include "ashlar/mesh/placement.h"
#include "ashlar/runtime/variable_store.h"

#include <vector>

namespace ashlar::train {

// Behind VariableStore::refresh_shadows, which leaves these alone. `placements`: of the graph's
// Variables, as the shard pass gave them. All ranks of the job call it together.
void gather_shadows(const graph::Graph& graph, const Mesh& mesh,
                    const std::vector<Placement>& placements, runtime::VariableStore& store,
                    comm::Communicator& comm);

}  // namespace ashlar::train
