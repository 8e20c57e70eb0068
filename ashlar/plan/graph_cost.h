// What a graph costs one rank, phase by phase, known before it runs: FLOPs, memory traffic, what is
// sent along each axis, and the time of it all on a machine of given rates.
#pragma once

#include "ashlar/graph/graph.h"

#include <array>
#include <iterator>
#include <map>
#include <span>
#include <string>

namespace ashlar::plan {

// Of one rank, per second, while all ranks of the machine work.
struct MachineRates {
  double matrix_flops = 1e12;     // matrix products
  double attention_flops = 1e12;  // and attention's
  double memory_bytes = 1e12;     // read and written
  double message_bytes = 1e12;    // sent
  double message_latency = 0;     // seconds a message
};

struct Sent {
  int64_t bytes = 0, messages = 0;
  Sent& operator+=(const Sent& other);
  Sent operator*(int64_t times) const { return {bytes * times, messages * times}; }
  bool operator==(const Sent&) const = default;
};
using SentByAxis = std::map<std::string, Sent>;
void add(SentByAxis& sum, const SentByAxis& more, int64_t times = 1);

struct PhaseCost {
  double flops = 0;    // matrix products and attention, 2 per multiply-add
  double bytes = 0;    // of memory
  double compute = 0;  // seconds: the longer of FLOPs and bytes, op by op
  double talk = 0;     // seconds of messages
  SentByAxis sent = {};
  double seconds() const { return compute + talk; }
  PhaseCost& operator+=(const PhaseCost& other);
};

// One run of each phase of the graph of `rank`, of a job of `ranks`; node_ranks: as
// comm::NodeCommunicator has it.
using GraphCost = std::array<PhaseCost, std::size(graph::kPhases)>;
GraphCost graph_cost(const graph::Graph& graph, const graph::Bindings& bindings,
                     std::span<const int32_t> row_start, int rank, int ranks,
                     const MachineRates& rates, int node_ranks = 0);

// Bytes that the rank sends in a microbatch's forward to gather parameters (ZeRO-3) which backward
// does not read: all others are gathered again.
int64_t gathered_once_bytes(const graph::Graph& graph, const graph::Bindings& bindings,
                            std::span<const int32_t> row_start, int rank, int ranks);

}  // namespace ashlar::plan
