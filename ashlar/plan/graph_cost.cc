#include "ashlar/plan/graph_cost.h"

#include "ashlar/comm/counting_communicator.h"
#include "ashlar/comm/node_communicator.h"
#include "ashlar/graph/ops/collective.h"
#include "ashlar/graph/traffic.h"
#include "ashlar/plan/operands.h"

#include <algorithm>
#include <set>

namespace ashlar::plan {
namespace {

bool is_attention(const graph::Node& node) {
  return node.op->kind().find("attention") != std::string_view::npos;
}

PhaseCost node_cost(const graph::Node& node, const BoundOperands& operands, int rank, int ranks,
                    const MachineRates& rates, int node_ranks) {
  const auto inputs = operands.of(node.inputs), outputs = operands.of(node.outputs);
  const graph::Cost cost = node.op->cost(inputs, outputs);
  PhaseCost result{.flops = cost.flops, .bytes = cost.bytes};
  const double flops = is_attention(node) ? rates.attention_flops : rates.matrix_flops;
  result.compute = std::max(cost.flops / flops, cost.bytes / rates.memory_bytes);
  const auto* talks = dynamic_cast<const graph::Talks*>(node.op.get());
  if (talks == nullptr) return result;
  comm::CountingCommunicator counting(ranks, rank);
  comm::NodeCommunicator nodes(counting, node_ranks);
  talks->traffic({inputs, outputs, nodes});
  if (counting.counters().entries().empty()) return result;
  for (const auto& [key, traffic] : counting.counters().entries()) {
    result.sent[key.first] += Sent{traffic.bytes, traffic.messages};
    result.talk += static_cast<double>(traffic.bytes) / rates.message_bytes +
                   static_cast<double>(traffic.messages) * rates.message_latency;
  }
  result.compute = cost.flops / flops;  // its bytes are those of the messages
  return result;
}

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
  talk += other.talk;
  add(sent, other.sent);
  return *this;
}

GraphCost graph_cost(const graph::Graph& graph, const graph::Bindings& bindings,
                     std::span<const int32_t> row_start, int rank, int ranks,
                     const MachineRates& rates, int node_ranks) {
  const BoundOperands operands(graph, bindings, row_start);
  GraphCost cost;
  for (const graph::Node& node : graph.nodes()) {
    cost[static_cast<size_t>(node.phase)] +=
        node_cost(node, operands, rank, ranks, rates, node_ranks);
  }
  return cost;
}

int64_t gathered_once_bytes(const graph::Graph& graph, const graph::Bindings& bindings,
                            std::span<const int32_t> row_start, int rank, int ranks) {
  const BoundOperands operands(graph, bindings, row_start);
  std::set<graph::ValueId> gathered;  // along one axis, or several
  int64_t bytes = 0;
  for (const graph::Node& node : graph.nodes()) {
    const auto* gather = dynamic_cast<const graph::AllGatherOp*>(node.op.get());
    if (gather == nullptr || !(gather->variable() || gathered.contains(node.inputs[0]))) continue;
    gathered.insert(node.outputs[0]);
    comm::CountingCommunicator counting(ranks, rank);
    const auto inputs = operands.of(node.inputs), outputs = operands.of(node.outputs);
    gather->traffic({inputs, outputs, counting});
    const int64_t sent = counting.counters().total().bytes;
    bytes += node.phase == graph::Phase::kForward ? sent : -sent;
  }
  return bytes;
}

}  // namespace ashlar::plan
