#include "ashlar/graph/ops/row_gate.h"

#include "ashlar/graph/gradient.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/ref/moe.h"

namespace ashlar::graph {

namespace ref = kernels::ref;

std::vector<ValueType> RowGateOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, kInputs);
  check_rank(kind(), "x", in[kX], 2);
  check_type(kind(), "gate", in[kGate], {DType::kF32, {in[kX].shape[0], 1}});
  if (in[kResidual].present) check_type(kind(), "residual", in[kResidual], in[kX]);
  return {in[kX]};
}

void RowGateOp::gradient(GradientContext& context) const {
  const ValueId d_y = context.grad(0);
  if (context.wants(kResidual)) context.set(kResidual, d_y);
  if (!context.wants(kX) && !context.wants(kGate)) return;
  const auto grads = context.apply(std::make_shared<RowGateGradOp>(),
                                   {context.input(kX), context.input(kGate), d_y}, "grad");
  for (const int input : {kX, kGate}) {
    if (context.wants(input)) context.set(input, grads[static_cast<size_t>(input)]);
  }
}

void RowGateOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs;
  const Operand& y = call.outputs[0];
  call.table.row_gate({.rows = y.shape[0],
                       .width = y.shape[1],
                       .dtype = y.dtype,
                       .x = in[kX].data,
                       .gate = in[kGate].as<float>(),
                       .residual = in[kResidual].present ? in[kResidual].data : nullptr,
                       .y = y.data},
                      call.team);
}

void RowGateOp::reference(const ReferenceCall& call) const {
  const std::span<const Operand> in = call.inputs;
  const Operand& y = call.outputs[0];
  ref::row_gate({y.shape[0], y.shape[1], in[kX].as<double>(), in[kGate].as<double>(),
                 in[kResidual].present ? in[kResidual].as<double>() : nullptr, y.as<double>()});
}

// Where ranks share the width inside the expert, x is a term of each.
std::vector<AxisStrategy> RowGateOp::strategies(const AxisSite&) const {
  return {alike(kInputs, 1, rows()), {{term(), whole(), term()}, {term()}}};
}

std::vector<ValueType> RowGateGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 3);
  check_rank(kind(), "x", in[0], 2);
  check_type(kind(), "gate", in[1], {DType::kF32, {in[0].shape[0], 1}});
  check_type(kind(), "d_y", in[2], in[0]);
  return {in[0], in[1]};
}

void RowGateGradOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs;
  call.table.row_gate_grad({.rows = in[0].shape[0],
                            .width = in[0].shape[1],
                            .dtype = in[0].dtype,
                            .x = in[0].data,
                            .gate = in[1].as<float>(),
                            .d_y = in[2].data,
                            .d_x = call.outputs[0].data,
                            .d_gate = call.outputs[1].as<float>()},
                           call.team);
}

void RowGateGradOp::reference(const ReferenceCall& call) const {
  const std::span<const Operand> in = call.inputs;
  ref::row_gate_grad({in[0].shape[0], in[0].shape[1], in[0].as<double>(), in[1].as<double>(),
                      in[2].as<double>(), call.outputs[0].as<double>(),
                      call.outputs[1].as<double>()});
}

std::vector<AxisStrategy> RowGateGradOp::strategies(const AxisSite&) const {
  return {alike(3, 2, rows()), {{term(), whole(), whole()}, {whole(), term()}}};
}

ValueId row_gate(Builder& b, ValueId x, ValueId gate, ValueId residual, const std::string& name) {
  return b.apply1(std::make_shared<RowGateOp>(), {x, gate, residual}, name);
}

}  // namespace ashlar::graph
