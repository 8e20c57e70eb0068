#include "tests/passes/packed_run.h"

#include "ashlar/base/philox.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/runtime/executor.h"
#include "ashlar/runtime/pack_weights.h"

#include <algorithm>

namespace ashlar::passes {
namespace {

std::vector<float> random_values(std::string_view name, int64_t count) {
  const RandomStream random(1, name);
  std::vector<float> values;
  for (int64_t i = 0; i < count; ++i) {
    values.push_back(static_cast<float>(random.block(static_cast<uint64_t>(i))[0]) * 0x1p-32f -
                     0.5f);
  }
  return values;
}

}  // namespace

std::map<std::string, std::vector<float>> run_packed(const graph::Graph& graph, IsaTier tier,
                                                     int64_t tokens, int64_t width) {
  ThreadPool pool(2);
  const kernels::KernelTable& table = kernels::kernel_table(tier);
  runtime::VariableStore store(3);
  for (const graph::Variable& variable : graph.variables()) {
    if (variable.kind != graph::VariableKind::kParameter) continue;
    Tensor tensor(DType::kF32, variable.shape);
    std::ranges::copy(random_values(variable.name, tensor.elements()), tensor.as<float>());
    store.put(variable.name, tensor.to(variable.dtype));
  }
  runtime::pack_weights(graph, store, table, pool);
  store.add_missing(graph);
  graph::Bindings bindings;
  bindings[graph::Symbol::kTokens] = tokens;
  auto plan =
      plan_memory(graph, {.max = bindings, .slots = 1, .table = &table, .threads = pool.threads()});
  runtime::Executor executor(graph, std::move(plan), store, table, pool);
  const std::vector<float> x = random_values("x", tokens * width);
  executor.bind_input("x", x.data());
  executor.run(0, bindings, {});
  std::map<std::string, std::vector<float>> outputs;
  for (const auto& [name, id] : graph.outputs()) {
    const graph::Operand y = executor.output(name, bindings);
    outputs[name].assign(y.as<float>(), y.as<float>() + y.shape.elements());
  }
  return outputs;
}

}  // namespace ashlar::passes
