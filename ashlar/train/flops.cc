#include "ashlar/train/flops.h"

#include "ashlar/kernels/probe.h"
#include "ashlar/plan/operands.h"

namespace ashlar::train {
namespace {

// The best of many short windows, so that a busy neighbour does not lower the peak.
constexpr kernels::ProbeEffort kProbe{
    .windows = 20, .window_seconds = 0.01, .buffer_bytes = 1 << 20};

}  // namespace

double model_flops(const graph::Graph& graph, const graph::Bindings& bindings,
                   std::span<const int32_t> row_start) {
  const plan::BoundOperands operands(graph, bindings, row_start);
  double flops = 0;
  for (const graph::Node& node : graph.nodes()) {
    if (node.phase >= graph::Phase::kNorm || node.recomputed) continue;
    flops += node.op->cost(operands.of(node.inputs), operands.of(node.outputs)).flops;
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
