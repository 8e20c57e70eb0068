#include "ashlar/cli/inspect_memory.h"

#include "ashlar/base/cpu.h"
#include "ashlar/cli/machine_facts.h"
#include "ashlar/generate/memory_plan.h"
#include "ashlar/kernels/table.h"

#include <string>

namespace ashlar::cli {

nlohmann::ordered_json memory_to_serve(const bundle::Bundle& model, int64_t context,
                                       std::optional<DType> dtype) {
  const generate::HeldWeights held = generate::held_weights(model, dtype);
  generate::ModelOptions options;
  options.limits.context = context;
  options.hold(held);
  options = generate::resolve(options, model.config());
  const generate::MemoryPlan plan = generate::plan_memory(
      model.config(), options, kernels::kernel_table(best_isa_tier()), machine_facts().cores);
  const int64_t weights = plan.weights + plan.packed, cache = options.blocks * plan.block;
  return {{"context", options.limits.context},
          {"dtype", std::string(name(held.dtype))},
          {"cache_dtype", std::string(name(held.cache))},
          {"weight_bytes", weights},
          {"cache_bytes", cache},
          {"work_bytes", plan.work},
          {"total_bytes", weights + cache + plan.work}};
}

}  // namespace ashlar::cli
