#include "ashlar/plan/priced_stage.h"

#include "ashlar/graph/traffic.h"
#include "ashlar/plan/operands.h"

#include <algorithm>
#include <cstring>

namespace ashlar::plan {
namespace {

using graph::Phase;
using runtime::StageProgram;

bool runs(StageProgram program, Phase phase) {
  switch (program) {
    case StageProgram::kForward:
      return phase == Phase::kForward;
    case StageProgram::kBackward:
      return phase == Phase::kInputGrad || phase == Phase::kWeightGrad;
    case StageProgram::kInputGrad:
      return phase == Phase::kInputGrad;
    case StageProgram::kWeightGrad:
      return phase == Phase::kWeightGrad;
    case StageProgram::kReduce:
      return phase == Phase::kReduce;
    case StageProgram::kNorm:
      return phase == Phase::kNorm;
    case StageProgram::kUpdate:
      return phase == Phase::kUpdate;
  }
  return false;
}

}  // namespace

PricedStage::PricedStage(const graph::Graph& graph, bool splits_backward,
                         std::span<const int32_t> row_start, comm::Communicator& comm)
    : graph_(graph), splits_backward_(splits_backward), row_start_(row_start), comm_(comm) {}

void PricedStage::run(StageProgram program, const graph::RunState&) {
  const BoundOperands operands(graph_, bindings_, row_start_);
  for (const graph::Node& node : graph_.nodes()) {
    if (!runs(program, node.phase)) continue;
    const auto* talks = dynamic_cast<const graph::Talks*>(node.op.get());
    if (talks == nullptr) continue;
    const auto inputs = operands.of(node.inputs), outputs = operands.of(node.outputs);
    talks->traffic({inputs, outputs, comm_});
  }
}

// Only what is read or written of it becomes real.
std::byte* PricedStage::memory(int64_t bytes) const {
  if (bytes > memory_bytes_) {
    memory_ = std::make_unique_for_overwrite<std::byte[]>(static_cast<size_t>(bytes));
    std::memset(memory_.get(), 0, sizeof(double));  // a loss, a sum of squares
    memory_bytes_ = bytes;
  }
  return memory_.get();
}

graph::Operand PricedStage::output(const std::string& name) const {
  const graph::ValueType& type = graph_.type(graph_.output(name));
  graph::Operand operand;
  operand.dtype = type.dtype;
  operand.shape = type.shape.bind(bindings_);
  operand.data = memory(std::max<int64_t>(
      operand.shape.elements() * static_cast<int64_t>(size_of(type.dtype)), sizeof(double)));
  return operand;
}

comm::Buffer PricedStage::variable(const std::string& name) {
  const graph::Variable& variable = graph_.variable(*graph_.find_variable(name));
  return {variable.dtype, memory(variable.bytes()), variable.shape.elements()};
}

}  // namespace ashlar::plan
