#include "ashlar/graph/ops/add_term.h"

#include "ashlar/graph/ops/shape_rules.h"

namespace ashlar::graph {

std::vector<ValueType> AddTermOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 2);
  check_type(kind(), "term", in[0], {DType::kF32, in[1].shape});
  ASHLAR_CHECK(is_float(in[1].dtype), "add_term: grad is {}, wanted f32, bf16 or f16", in[1].str());
  return {in[1]};
}

void AddTermOp::run(const KernelCall& call) const {
  const Operand &term = call.inputs[0], &sum = call.outputs[0];
  call.table.add_term({sum.shape.elements(), term.as<float>(), sum.dtype, sum.data,
                       first_ && call.state.first_microbatch},
                      call.team);
}

void AddTermOp::reference(const ReferenceCall& call) const {
  const bool begins = first_ && call.state.first_microbatch;
  const auto* term = call.inputs[0].as<double>();
  auto* sum = call.outputs[0].as<double>();
  for (int64_t i = 0; i < call.outputs[0].shape.elements(); ++i) {
    sum[i] = begins ? term[i] : sum[i] + term[i];
  }
}

}  // namespace ashlar::graph
