#include "ashlar/train/flops.h"

#include "ashlar/kernels/probe.h"

#include <vector>

namespace ashlar::train {
namespace {

using graph::Operand;
using graph::ValueId;

// The best of many short windows, so that a busy neighbour does not lower the peak.
constexpr kernels::ProbeEffort kProbe{
    .windows = 20, .window_seconds = 0.01, .buffer_bytes = 1 << 20};

}  // namespace

double model_flops(const graph::Graph& graph, const graph::Bindings& bindings,
                   std::span<const int32_t> row_start) {
  const auto found = graph.inputs().find("row_start");
  const ValueId rows = found == graph.inputs().end() ? ValueId{} : found->second;
  // Attention counts the pairs it sees, so it looks into row_start; nothing else is read.
  const auto operands = [&](const std::vector<ValueId>& ids) {
    std::vector<Operand> result(ids.size());
    for (size_t i = 0; i < ids.size(); ++i) {
      result[i].present = ids[i].valid();
      result[i].shape = Shape{0};
      if (!ids[i].valid()) continue;
      result[i].dtype = graph.type(ids[i]).dtype;
      result[i].shape = graph.type(ids[i]).shape.bind(bindings);
      if (ids[i] == rows) {
        result[i].data =
            reinterpret_cast<std::byte*>(const_cast<int32_t*>(row_start.data()));  // only read
      }
    }
    return result;
  };
  double flops = 0;
  for (const graph::Node& node : graph.nodes()) {
    if (node.phase >= graph::Phase::kNorm || node.recomputed) continue;
    flops += node.op->cost(operands(node.inputs), operands(node.outputs)).flops;
  }
  return flops;
}

double measure_peak(DType dtype, IsaTier tier, int threads, const Clock& clock) {
  const kernels::ProbeRates rates =
      kernels::probe_machine(tier, {threads}, clock, kProbe).rates.front();
  const bool bf16 = dtype == DType::kBF16 && rates.bf16_operations.has_value();
  return bf16 ? *rates.bf16_operations : rates.f32_operations;
}

}  // namespace ashlar::train
