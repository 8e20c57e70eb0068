#include "ashlar/graph/ops/softcap.h"

#include "ashlar/graph/gradient.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/ref/elementwise.h"

namespace ashlar::graph {
namespace ref = kernels::ref;

std::string SoftcapOp::attributes() const { return fmt::format("cap={}", cap_); }

std::vector<ValueType> SoftcapOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 1);
  ASHLAR_CHECK(cap_ > 0, "softcap: cap {} is not positive", cap_);
  return {in[0]};
}

void SoftcapOp::gradient(GradientContext& context) const {
  if (!context.wants(0)) return;
  context.set(0, context.apply(std::make_shared<SoftcapGradOp>(cap_),
                               {context.output(0), context.grad(0)}, "grad")[0]);
}

void SoftcapOp::run(const KernelCall& call) const {
  const Operand& y = call.outputs[0];
  call.table.softcap(
      {y.shape.elements(), y.dtype, static_cast<float>(cap_), call.inputs[0].data, y.data},
      call.team);
}

void SoftcapOp::reference(const ReferenceCall& call) const {
  ref::softcap({call.outputs[0].shape.elements(), cap_, call.inputs[0].as<double>(),
                call.outputs[0].as<double>()});
}

std::vector<AxisStrategy> SoftcapOp::strategies(const AxisSite&) const {
  return {alike(1, 1, rows()), alike(1, 1, columns())};
}

std::string SoftcapGradOp::attributes() const { return fmt::format("cap={}", cap_); }

std::vector<ValueType> SoftcapGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 2);
  check_type(kind(), "d_y", in[1], in[0]);
  return {in[0]};
}

void SoftcapGradOp::run(const KernelCall& call) const {
  const Operand& d_x = call.outputs[0];
  call.table.softcap_grad({d_x.shape.elements(), d_x.dtype, static_cast<float>(cap_),
                           call.inputs[0].data, call.inputs[1].data, d_x.data},
                          call.team);
}

void SoftcapGradOp::reference(const ReferenceCall& call) const {
  ref::softcap_grad({call.outputs[0].shape.elements(), cap_, call.inputs[0].as<double>(),
                     call.inputs[1].as<double>(), call.outputs[0].as<double>()});
}

std::vector<AxisStrategy> SoftcapGradOp::strategies(const AxisSite&) const {
  return {alike(2, 1, rows()), alike(2, 1, columns())};
}

ValueId softcap(Builder& b, ValueId x, double cap, const std::string& name) {
  if (cap == 0) return x;
  return b.apply1(std::make_shared<SoftcapOp>(cap), {x}, name);
}

}  // namespace ashlar::graph
