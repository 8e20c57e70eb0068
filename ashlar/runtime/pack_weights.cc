#include "ashlar/runtime/pack_weights.h"

#include "ashlar/kernels/team.h"

#include <algorithm>

namespace ashlar::runtime {
namespace {

Tensor packed_copy(const Tensor& weight, const graph::Variable& packed,
                   const kernels::KernelTable& table, ThreadPool& pool) {
  const int64_t outputs = weight.shape()[0], inputs = weight.shape()[1];
  const kernels::MatrixView view{weight.data(), weight.dtype(), 1, inputs};
  Tensor result(packed.dtype, packed.shape);
  // A few panels a task: enough of them to share out, none too small.
  const int64_t step = 4 * table.packed_columns(weight.dtype());
  pool.parallel_for((outputs + step - 1) / step, [&](int64_t task, int) {
    table.pack_b(view, inputs, outputs, task * step, std::min(outputs, (task + 1) * step),
                 weight.dtype(), result.data());
  });
  return result;
}

}  // namespace

void pack_weights(const graph::Graph& graph, VariableStore& store,
                  const kernels::KernelTable& table, ThreadPool& pool,
                  const std::function<void(const std::string& name)>& finished) {
  const std::vector<bool> read = graph.variables_read();
  for (const graph::Variable& variable : graph.variables()) {
    if (variable.kind != graph::VariableKind::kPacked) continue;
    const std::string& source = graph.variable(variable.source).name;
    store.put(variable.name, packed_copy(store.at(source), variable, table, pool));
    if (finished == nullptr || read[static_cast<size_t>(variable.source.index)]) continue;
    finished(source);
    store.erase(source);
  }
}

}  // namespace ashlar::runtime
