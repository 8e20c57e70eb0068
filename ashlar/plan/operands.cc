#include "ashlar/plan/operands.h"

namespace ashlar::plan {

using graph::Operand;
using graph::ValueId;

BoundOperands::BoundOperands(const graph::Graph& graph, const graph::Bindings& bindings,
                             std::span<const int32_t> row_start)
    : graph_(graph), bindings_(bindings), row_start_(row_start) {
  const auto found = graph.inputs().find("row_start");
  if (found != graph.inputs().end()) rows_ = found->second;
}

std::vector<Operand> BoundOperands::of(const std::vector<ValueId>& ids) const {
  std::vector<Operand> result(ids.size());
  for (size_t i = 0; i < ids.size(); ++i) {
    result[i].present = ids[i].valid();
    result[i].shape = Shape{0};
    if (!ids[i].valid()) continue;
    result[i].dtype = graph_.type(ids[i]).dtype;
    result[i].shape = graph_.type(ids[i]).shape.bind(bindings_);
    if (ids[i] == rows_) {
      result[i].data =
          reinterpret_cast<std::byte*>(const_cast<int32_t*>(row_start_.data()));  // only read
    }
  }
  return result;
}

}  // namespace ashlar::plan
