#include "ashlar/plan/graph_cost.h"

#include "ashlar/comm/counting_communicator.h"
#include "ashlar/comm/node_communicator.h"
#include "ashlar/graph/ops/collective.h"
#include "ashlar/graph/traffic.h"
#include "ashlar/plan/operands.h"
#include "ashlar/plan/overlap.h"

#include <algorithm>
#include <set>

namespace ashlar::plan {
namespace {

using graph::Phase;

bool is_attention(const graph::Node& node) {
  return node.op->kind().find("attention") != std::string_view::npos;
}

// Seconds by rates. The bytes of what talks are those of its messages.
double by_rates(const graph::Node& node, const graph::Cost& cost, bool talks,
                const MachineRates& rates) {
  const double flops =
      cost.flops / (is_attention(node) ? rates.attention_flops : rates.matrix_flops);
  return talks ? flops : std::max(flops, cost.bytes / rates.memory_bytes);
}

// What is sent, and the time that it takes: a rank's own where its processor copies, as between
// ranks of one machine.
void add_talk(const graph::Talks& talks, std::span<const graph::Operand> inputs,
              std::span<const graph::Operand> outputs, const PricedRank& of, const Pricing& pricing,
              PhaseCost& cost) {
  const MachineRates& rates = pricing.rates;
  std::optional<comm::CountingCommunicator> here;
  std::optional<NetworkCommunicator> spread;
  if (pricing.network == nullptr) {
    here.emplace(of.ranks, of.rank);
  } else {
    spread.emplace(of.ranks, of.rank, pricing.network->network, pricing.network->played);
  }
  comm::CountingCommunicator& counting = spread ? *spread : *here;
  comm::NodeCommunicator nodes(counting, of.node_ranks);
  talks.traffic({inputs, outputs, nodes});
  for (const auto& [key, traffic] : counting.counters().entries()) {
    cost.sent[key.first] += Sent{traffic.bytes, traffic.messages};
  }
  if (!spread) {
    const comm::Traffic sent = counting.counters().total();
    cost.talk.own = static_cast<double>(sent.bytes) / rates.message_bytes;
    cost.talk.wire = static_cast<double>(sent.messages) * rates.message_latency;
    return;
  }
  cost.talk.own = static_cast<double>(spread->bytes_inside()) / rates.message_bytes;
  cost.talk.wire = std::max(0.0, spread->seconds() - cost.talk.own);
}

PhaseCost node_cost(const graph::Node& node, const BoundOperands& operands, const PricedRank& of,
                    const Pricing& pricing) {
  const MachineRates& rates = pricing.rates;
  const auto inputs = operands.of(node.inputs), outputs = operands.of(node.outputs);
  const graph::Cost cost = node.op->cost(inputs, outputs);
  PhaseCost result{.flops = cost.flops, .bytes = cost.bytes};
  if (const auto* talks = dynamic_cast<const graph::Talks*>(node.op.get())) {
    add_talk(*talks, inputs, outputs, of, pricing, result);
  }
  const bool talks = !result.sent.empty();
  std::optional<double> timed;
  if (pricing.timer != nullptr && (cost.flops > 0 || !talks)) {
    timed = pricing.timer->seconds({of.graph, node, of.bindings, of.step});
  }
  result.compute = timed ? *timed : by_rates(node, cost, talks, rates);
  return result;
}

// Of a difference of sums, which rounding may leave a little of.
double hidden(double seconds) { return seconds < 1e-12 ? 0 : seconds; }

}  // namespace

Sent& Sent::operator+=(const Sent& other) {
  bytes += other.bytes;
  messages += other.messages;
  return *this;
}

void add(SentByAxis& sum, const SentByAxis& more, int64_t times) {
  for (const auto& [axis, sent] : more) sum[axis] += sent * times;
}

PhaseCost& PhaseCost::operator+=(const PhaseCost& other) {
  flops += other.flops;
  bytes += other.bytes;
  compute += other.compute;
  talk.own += other.talk.own;
  talk.wire += other.talk.wire;
  hidden += other.hidden;
  add(sent, other.sent);
  return *this;
}

std::vector<PhaseCost> node_costs(const PricedRank& of, const Pricing& pricing) {
  const BoundOperands operands(of.graph, of.bindings, of.row_start);
  std::vector<PhaseCost> costs;
  for (const graph::Node& node : of.graph.nodes()) {
    costs.push_back(node_cost(node, operands, of, pricing));
  }
  return costs;
}

GraphCost graph_cost(const PricedRank& of, const Pricing& pricing) {
  const std::vector<PhaseCost> costs = node_costs(of, pricing);
  GraphCost cost;
  for (size_t i = 0; i < costs.size(); ++i) {
    cost[static_cast<size_t>(of.graph.nodes()[i].phase)] += costs[i];
  }
  const auto seconds = [&](std::initializer_list<Phase> phases, bool with_sums = false) {
    return overlapped_seconds(of.graph, costs, std::vector(phases), with_sums);
  };
  for (const Phase phase : graph::kPhases) {
    PhaseCost& one = cost[static_cast<size_t>(phase)];
    one.hidden = hidden(one.seconds() - seconds({phase}));
  }
  const std::initializer_list<Phase> backward = {Phase::kInputGrad, Phase::kWeightGrad};
  PhaseCost& sums = cost[static_cast<size_t>(Phase::kReduce)];
  sums.hidden = 0;
  const double added = seconds(backward, true) - seconds(backward);
  sums.hidden = hidden(sums.seconds() - added);
  return cost;
}

int64_t gathered_once_bytes(const PricedRank& of) {
  const BoundOperands operands(of.graph, of.bindings, of.row_start);
  std::set<graph::ValueId> gathered;  // along one axis, or several
  int64_t bytes = 0;
  for (const graph::Node& node : of.graph.nodes()) {
    const auto* gather = dynamic_cast<const graph::AllGatherOp*>(node.op.get());
    if (gather == nullptr || !(gather->variable() || gathered.contains(node.inputs[0]))) continue;
    gathered.insert(node.outputs[0]);
    comm::CountingCommunicator counting(of.ranks, of.rank);
    const auto inputs = operands.of(node.inputs), outputs = operands.of(node.outputs);
    gather->traffic({inputs, outputs, counting});
    const int64_t sent = counting.counters().total().bytes;
    bytes += node.phase == Phase::kForward ? sent : -sent;
  }
  return bytes;
}

}  // namespace ashlar::plan
