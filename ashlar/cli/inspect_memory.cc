#include "ashlar/cli/inspect_memory.h"

#include "ashlar/base/cpu.h"
#include "ashlar/cli/machine_facts.h"
#include "ashlar/generate/memory_plan.h"
#include "ashlar/kernels/table.h"

namespace ashlar::cli {

ServingMemory memory_to_serve(const bundle::Bundle& model, int64_t context,
                              std::optional<DType> dtype) {
  const generate::HeldWeights held = generate::held_weights(model, dtype);
  generate::ModelOptions options;
  options.limits.context = context;
  options.hold(held);
  options = generate::resolve(options, model.config());
  const generate::MemoryPlan plan = generate::plan_memory(
      model.config(), options, kernels::kernel_table(best_isa_tier()), machine_facts().cores);
  return {.context = options.limits.context,
          .dtype = generate::most_held(generate::build_serving_graph(model.config(), options)),
          .cache_dtype = held.cache,
          .weight_bytes = plan.weights + plan.packed,
          .cache_bytes = options.blocks * plan.block,
          .work_bytes = plan.work};
}

}  // namespace ashlar::cli
