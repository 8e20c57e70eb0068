#include "ashlar/graph/ops/moe_route.h"

#include "ashlar/graph/gradient.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/ref/moe.h"

namespace ashlar::graph {
namespace {

namespace ref = kernels::ref;

std::string text_of(const RouteSpec& spec) {
  return fmt::format("top_k={}{}", spec.top_k, spec.renormalise ? " renormalise" : "");
}

void check_logits(std::string_view op, const ValueType& logits, int64_t top_k) {
  check_rank(op, "logits", logits, 2);
  check_dtype(op, "logits", logits, DType::kF32);
  const Dim experts = logits.shape[1];
  ASHLAR_CHECK(experts.fixed() && top_k >= 1 && top_k <= experts.offset,
               "{}: {} choices of {} experts, wanted 1 to {}", op, top_k, experts.str(),
               experts.str());
}

template <typename Args, typename Number>
Args route_args(const RouteSpec& spec, const Operand& logits, const Operand& weights,
                const Operand& experts) {
  Args args;
  args.rows = logits.shape[0];
  args.experts = logits.shape[1];
  args.top_k = spec.top_k;
  args.renormalise = spec.renormalise;
  args.logits = logits.as<Number>();
  args.weights = weights.as<Number>();
  args.chosen = experts.as<int32_t>();
  return args;
}

}  // namespace

// ---------------------------------------------------------------- forward
std::string MoeRouteOp::attributes() const { return text_of(spec_); }

std::vector<ValueType> MoeRouteOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 1);
  check_logits(kind(), in[0], spec_.top_k);
  const SymShape pairs{in[0].shape[0], spec_.top_k};
  return {{DType::kF32, pairs}, {DType::kI32, pairs}};
}

void MoeRouteOp::gradient(GradientContext& context) const {
  if (!context.wants(0)) return;
  context.set(
      0, context.apply(std::make_shared<MoeRouteGradOp>(spec_),
                       {context.input(0), context.output(0), context.output(1), context.grad(0)},
                       "grad")[0]);
}

void MoeRouteOp::run(const KernelCall& call) const {
  call.table.moe_route(route_args<kernels::MoeRouteArgs, float>(spec_, call.inputs[0],
                                                                call.outputs[0], call.outputs[1]),
                       call.team);
}

void MoeRouteOp::reference(const ReferenceCall& call) const {
  ref::moe_route(route_args<ref::MoeRouteArgs, double>(spec_, call.inputs[0], call.outputs[0],
                                                       call.outputs[1]));
}

std::vector<AxisStrategy> MoeRouteOp::strategies(const AxisSite&) const {
  return {alike(1, 2, rows())};
}

// ---------------------------------------------------------------- gradient
std::string MoeRouteGradOp::attributes() const { return text_of(spec_); }

std::vector<ValueType> MoeRouteGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 4);
  check_logits(kind(), in[0], spec_.top_k);
  const SymShape pairs{in[0].shape[0], spec_.top_k};
  check_type(kind(), "weights", in[1], {DType::kF32, pairs});
  check_type(kind(), "experts", in[2], {DType::kI32, pairs});
  check_type(kind(), "d_weights", in[3], {DType::kF32, pairs});
  return {in[0]};
}

void MoeRouteGradOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs;
  call.table.moe_route_grad({route_args<kernels::MoeRouteArgs, float>(spec_, in[0], in[1], in[2]),
                             in[3].as<float>(), call.outputs[0].as<float>()},
                            call.team);
}

void MoeRouteGradOp::reference(const ReferenceCall& call) const {
  const std::span<const Operand> in = call.inputs;
  ref::moe_route_grad({route_args<ref::MoeRouteArgs, double>(spec_, in[0], in[1], in[2]),
                       in[3].as<double>(), call.outputs[0].as<double>()});
}

std::vector<AxisStrategy> MoeRouteGradOp::strategies(const AxisSite&) const {
  return {alike(4, 1, rows())};
}

Route moe_route(Builder& b, ValueId logits, const RouteSpec& spec, const std::string& name) {
  const auto outputs = b.apply(std::make_shared<MoeRouteOp>(spec), {logits}, name);
  return {outputs[0], outputs[1]};
}

}  // namespace ashlar::graph
