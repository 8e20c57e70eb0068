// Spreads a graph over the ranks of a mesh: gives Variables their placements, runs each op in the
// cheapest of the ways it offers along each axis (graph/sharding.h), and writes the collectives
// that bring values from where they lie to where they are wanted. The result is one rank's graph;
// the same model description gives data, tensor, sequence, context and expert parallelism and ZeRO.
#pragma once

#include "ashlar/graph/graph.h"
#include "ashlar/mesh/mesh.h"
#include "ashlar/mesh/placement.h"

#include <cstdint>
#include <map>
#include <string>
#include <vector>

namespace ashlar::passes {

enum class ContextParallel : uint8_t { kRing, kZigzag, kUlysses };

struct ShardPlan {
  Mesh mesh = Mesh::standard({});
  // Which axis splits a logical dim. Tensor parallelism is Megatron's (Shoeybi et al. 2019).
  std::map<std::string, std::string> axis_of = {{"heads", "tensor"},
                                                {"kv_heads", "tensor"},
                                                {"ffn", "tensor"},
                                                {"vocab", "tensor"},
                                                {"expert", "expert"}};
  // ZeRO (Rajbhandari et al. 2020) over the ranks that hold the same Variable for other tokens: 1
  // shards moments, and the masters of parameters that are read through 16-bit shadows; 2 gradients
  // too, 3 parameters too.
  int zero = 0;
  bool sequence =
      false;  // tensor ranks share the rows between its splits (Korthikanti et al. 2022)
  ContextParallel context = ContextParallel::kRing;
  int64_t seq = 0;           // tokens of a row that context ranks share
  graph::Bindings max = {};  // of a rank; sizes decide between ways
};

// Of which value of the whole model a rank's value is a part, and how that lies on the mesh.
struct PlacedValue {
  graph::ValueType whole;
  Placement placement;
};

struct ShardedGraph {
  graph::Graph graph;                // of one rank
  std::vector<Placement> variables;  // of each Variable, by its id
  std::vector<bool> alike;           // of each value, by its id: tensor ranks hold the same of it
  std::map<graph::ValueId, PlacedValue> values;  // but for the results of ops that have no whole
};

// Behind differentiate, the update rule and precision; before recompute and fuse. Throws where an
// op has no way to run as its inputs lie, naming op and placements.
ShardedGraph shard(const graph::Graph& graph, const ShardPlan& plan, int rank);

// How a Variable lies by the plan: its logical dims over their axes, and ZeRO's share.
Placement variable_placement(const graph::Graph& graph, const graph::Variable& variable,
                             const ShardPlan& plan);

}  // namespace ashlar::passes
