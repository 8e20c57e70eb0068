#include "ashlar/generate/memory_plan.h"

#include "ashlar/passes/pack.h"
#include "ashlar/passes/plan_memory.h"

namespace ashlar::generate {
MemoryPlan plan_memory(const models::DecoderConfig& config, const ModelOptions& options,
                       const kernels::KernelTable& table, int threads) {
  ModelOptions one_block = options;
  one_block.blocks = 1;
  const graph::Graph graph = passes::pack(build_serving_graph(config, one_block), table);

  MemoryPlan plan;
  const std::vector<bool> read = graph.variables_read();
  for (size_t i = 0; i < read.size(); ++i) {
    if (!read[i]) continue;
    const graph::Variable& variable = graph.variables()[i];
    int64_t& part = variable.kind == graph::VariableKind::kCache    ? plan.block
                    : variable.kind == graph::VariableKind::kPacked ? plan.packed
                                                                    : plan.weights;
    part += variable.bytes();
  }
  passes::PlanOptions largest;
  largest.max = largest_step(options.limits);
  largest.table = &table;
  largest.threads = threads;
  plan.work = passes::plan_memory(graph, largest).total_bytes();
  return plan;
}

}  // namespace ashlar::generate
