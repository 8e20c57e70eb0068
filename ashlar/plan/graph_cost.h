// What a graph costs one rank, phase by phase, known before it runs: FLOPs, memory traffic, what is
// sent along each axis, and the time of it all on a machine whose ops were timed, or of given
// rates.
#pragma once

#include "ashlar/graph/graph.h"
#include "ashlar/plan/network_communicator.h"
#include "ashlar/plan/op_timer.h"

#include <array>
#include <iterator>
#include <map>
#include <span>
#include <string>
#include <vector>

namespace ashlar::plan {

// Of one rank that has its cores to itself, per second.
struct MachineRates {
  double matrix_flops = 1e12;     // matrix products
  double attention_flops = 1e12;  // and attention's
  double memory_bytes = 1e12;     // read and written
  double message_bytes = 1e12;    // sent
  double message_latency = 0;     // seconds a message
};

// A job on several machines, and what was found of its links.
struct PricedNetwork {
  Network network;
  NetworkCommunicator::Played played = {};
};

// How time is modelled. What the timer cannot say goes by FLOPs or bytes, whichever is longer.
struct Pricing {
  MachineRates rates;
  OpTimer* timer = nullptr;          // null: by rates alone
  PricedNetwork* network = nullptr;  // null: all ranks are on this machine
};

// Whose graph is priced, and for what run.
struct PricedRank {
  const graph::Graph& graph;
  const graph::Bindings& bindings;
  std::span<const int32_t> row_start;
  int rank = 0, ranks = 1;
  int node_ranks = 0;    // as comm::NodeCommunicator has it
  StepAround step = {};  // for the timer
};

struct Sent {
  int64_t bytes = 0, messages = 0;
  Sent& operator+=(const Sent& other);
  Sent operator*(int64_t times) const { return {bytes * times, messages * times}; }
  bool operator==(const Sent&) const = default;
};
using SentByAxis = std::map<std::string, Sent>;
void add(SentByAxis& sum, const SentByAxis& more, int64_t times = 1);

// Seconds of messages: what the rank itself copies and adds, and what passes beside.
struct Talk {
  double own = 0, wire = 0;
  double seconds() const { return own + wire; }
};

struct PhaseCost {
  double flops = 0;    // matrix products and attention, 2 per multiply-add
  double bytes = 0;    // of memory
  double compute = 0;  // seconds
  Talk talk = {};
  double hidden = 0;  // seconds of that which pass while the rank computes: overlap.h
  SentByAxis sent = {};
  double seconds() const { return compute + talk.seconds() - hidden; }
  PhaseCost& operator+=(const PhaseCost& other);
};

// Of each node.
std::vector<PhaseCost> node_costs(const PricedRank& of, const Pricing& pricing);

// One run of each phase. Phase R is what the sums of gradients add to the backward pass beside
// which they run.
using GraphCost = std::array<PhaseCost, std::size(graph::kPhases)>;
GraphCost graph_cost(const PricedRank& of, const Pricing& pricing);

// Bytes that the rank sends in a microbatch's forward to gather parameters (ZeRO-3) which backward
// does not read: all others are gathered again.
int64_t gathered_once_bytes(const PricedRank& of);

}  // namespace ashlar::plan
