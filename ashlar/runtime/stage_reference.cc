#include "ashlar/runtime/stage_runner.h"

#include <iterator>

namespace ashlar::runtime {

using graph::Phase;

StageReference::StageReference(const graph::Graph& graph, const VariableStore& store,
                               comm::Communicator* comm)
    : graph_(graph), run_(graph, {}, store, comm) {}

void StageReference::select(int microbatch, const graph::Bindings& bindings, SlotPair) {
  bindings_ = bindings;
  run_.select(microbatch, bindings);
}

void StageReference::bind_input(int input, const void* data, DType dtype) {
  const auto& [name, id] = *std::next(graph_.inputs().begin(), input);
  const auto elements = static_cast<size_t>(graph_.type(id).shape.bind(bindings_).elements());
  if (is_float(dtype)) {
    std::vector<double> values(elements);
    convert(dtype, static_cast<const std::byte*>(data), DType::kF64, values.data(),
            static_cast<int64_t>(elements));
    run_.set_input(name, std::move(values));
  } else {
    const auto* values = static_cast<const int32_t*>(data);
    run_.set_input(name, std::vector<int32_t>(values, values + elements));
  }
}

void StageReference::run(StageProgram program, const graph::RunState& state) {
  const auto phases = [&]() -> std::vector<Phase> {
    switch (program) {
      case StageProgram::kForward:
        return {Phase::kForward};
      case StageProgram::kBackward:
        return {Phase::kInputGrad, Phase::kWeightGrad};
      case StageProgram::kInputGrad:
        return {Phase::kInputGrad};
      case StageProgram::kWeightGrad:
        return {Phase::kWeightGrad};
      case StageProgram::kReduce:
        return {Phase::kReduce};
      case StageProgram::kNorm:
        return {Phase::kNorm};
      case StageProgram::kUpdate:
        return {Phase::kUpdate};
    }
    return {};
  };
  run_.run(state, phases());
}

graph::Operand StageReference::output(const std::string& name) const {
  return run_.output_operand(name);
}

comm::Buffer StageReference::variable(const std::string& name) {
  return comm::buffer(std::span<double>(run_.variable(name)));
}

}  // namespace ashlar::runtime
