#include "ashlar/train/flops.h"

#include <vector>

namespace ashlar::train {
namespace {

using graph::Operand;
using graph::ValueId;

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
    if (node.phase == graph::Phase::kUpdate) continue;
    flops += node.op->cost(operands(node.inputs), operands(node.outputs)).flops;
  }
  return flops;
}

}  // namespace ashlar::train
