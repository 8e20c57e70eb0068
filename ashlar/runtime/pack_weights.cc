#include "ashlar/runtime/pack_weights.h"

#include "ashlar/kernels/team.h"

#include <algorithm>

namespace ashlar::runtime {
namespace {

Tensor packed_copy(const Tensor& weight, const graph::Variable& packed,
                   const kernels::KernelTable& table, ThreadPool& pool) {
  const int rank = weight.shape().rank();  // [outputs, inputs], or such a matrix for each expert
  const int64_t outputs = weight.shape()[rank - 2], inputs = weight.shape()[rank - 1];
  const int64_t matrices = rank == 3 ? weight.shape()[0] : 1;
  Tensor result(packed.dtype, packed.shape);
  const auto part = [&](auto* data, const Tensor& whole, int64_t matrix) {
    return data + static_cast<int64_t>(whole.bytes()) / matrices * matrix;
  };
  // A few panels a task: enough of them to share out, none too small.
  const int64_t step = 4 * table.packed_columns(weight.dtype());
  const int64_t tasks = (outputs + step - 1) / step;
  pool.parallel_for(matrices * tasks, [&](int64_t task, int) {
    const int64_t matrix = task / tasks, first = task % tasks * step;
    table.pack_b({part(weight.data(), weight, matrix), weight.dtype(), 1, inputs}, inputs, outputs,
                 first, std::min(outputs, first + step), weight.dtype(),
                 part(result.data(), result, matrix));
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
