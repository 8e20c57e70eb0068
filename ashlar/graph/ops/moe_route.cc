#include "ashlar/graph/ops/moe_route.h"

#include "ashlar/graph/gradient.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/ref/moe.h"

namespace ashlar::graph {
namespace {

namespace ref = kernels::ref;

std::string text_of(const RouteSpec& spec) {
  std::string text = fmt::format("top_k={}", spec.top_k);
  if (spec.score == kernels::RouteScore::kSigmoid) text += " sigmoid";
  if (spec.renormalise) text += " renormalise";
  if (spec.scale != 1) text += fmt::format(" scale={}", spec.scale);
  if (spec.groups > 1) {
    text += fmt::format(" groups={}/{} by {}", spec.top_groups, spec.groups, spec.group_best);
  }
  return text;
}

void check_logits(std::string_view op, const ValueType& logits, const RouteSpec& spec) {
  check_rank(op, "logits", logits, 2);
  check_dtype(op, "logits", logits, DType::kF32);
  const Dim experts = logits.shape[1];
  ASHLAR_CHECK(experts.fixed() && spec.top_k >= 1 && spec.top_k <= experts.offset,
               "{}: {} choices of {} experts, wanted 1 to {}", op, spec.top_k, experts.str(),
               experts.str());
  ASHLAR_CHECK(spec.scale > 0, "{}: scale {} is not positive", op, spec.scale);
  ASHLAR_CHECK(spec.groups >= 1 && experts.offset % spec.groups == 0,
               "{}: {} experts are not a multiple of {} groups", op, experts.str(), spec.groups);
  const int64_t size = experts.offset / spec.groups;
  ASHLAR_CHECK(spec.top_groups >= 1 && spec.top_groups <= spec.groups,
               "{}: {} of {} groups, wanted 1 to {}", op, spec.top_groups, spec.groups,
               spec.groups);
  ASHLAR_CHECK(spec.group_best >= 1 && spec.group_best <= size,
               "{}: groups of {} experts are compared by {} of them, wanted 1 to {}", op, size,
               spec.group_best, size);
  ASHLAR_CHECK(spec.top_k <= spec.top_groups * size,
               "{}: {} choices of {} groups of {} experts, wanted at most {}", op, spec.top_k,
               spec.top_groups, size, spec.top_groups * size);
  // Logits are not what softmaxes add up to.
  ASHLAR_CHECK(spec.score == kernels::RouteScore::kSigmoid || spec.group_best == 1,
               "{}: groups of a softmax are compared by their best expert, not by {}", op,
               spec.group_best);
}

template <typename Args, typename Number>
Args route_args(const RouteSpec& spec, const Operand& logits, const Operand& weights,
                const Operand& experts) {
  Args args;
  args.rows = logits.shape[0];
  args.experts = logits.shape[1];
  args.rule = spec;
  args.logits = logits.as<Number>();
  args.weights = weights.as<Number>();
  args.chosen = experts.as<int32_t>();
  return args;
}

}  // namespace

// ---------------------------------------------------------------- forward
std::string MoeRouteOp::attributes() const { return text_of(spec_); }

std::vector<ValueType> MoeRouteOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, kInputs);
  check_logits(kind(), in[kLogits], spec_);
  if (in[kBias].present) {
    check_type(kind(), "bias", in[kBias], {DType::kF32, {in[kLogits].shape[1]}});
    ASHLAR_CHECK(spec_.score == kernels::RouteScore::kSigmoid,
                 "moe_route: a bias is for sigmoids, not for a softmax");
  }
  const SymShape pairs{in[kLogits].shape[0], spec_.top_k};
  return {{DType::kF32, pairs}, {DType::kI32, pairs}};
}

void MoeRouteOp::gradient(GradientContext& context) const {
  if (!context.wants(0)) return;
  context.set(
      0, context.apply(std::make_shared<MoeRouteGradOp>(spec_),
                       {context.input(0), context.output(0), context.output(1), context.grad(0)},
                       "grad")[0]);
}

int64_t MoeRouteOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand>,
                                  const kernels::KernelTable&, int threads) const {
  return threads * kernels::moe_route_thread_bytes(spec_, in[kLogits].shape[1]);
}

void MoeRouteOp::run(const KernelCall& call) const {
  auto args = route_args<kernels::MoeRouteArgs, float>(spec_, call.inputs[kLogits], call.outputs[0],
                                                       call.outputs[1]);
  if (call.inputs[kBias].present) args.bias = call.inputs[kBias].as<float>();
  call.table.moe_route(args, call.team);
}

void MoeRouteOp::reference(const ReferenceCall& call) const {
  auto args = route_args<ref::MoeRouteArgs, double>(spec_, call.inputs[kLogits], call.outputs[0],
                                                    call.outputs[1]);
  if (call.inputs[kBias].present) args.bias = call.inputs[kBias].as<double>();
  ref::moe_route(args);
}

std::vector<AxisStrategy> MoeRouteOp::strategies(const AxisSite&) const {
  return {{{rows(), whole()}, {rows(), rows()}}};
}

// ---------------------------------------------------------------- gradient
std::string MoeRouteGradOp::attributes() const { return text_of(spec_); }

std::vector<ValueType> MoeRouteGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 4);
  check_logits(kind(), in[0], spec_);
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

Route moe_route(Builder& b, ValueId logits, ValueId bias, const RouteSpec& spec,
                const std::string& name) {
  const auto outputs = b.apply(std::make_shared<MoeRouteOp>(spec), {logits, bias}, name);
  return {outputs[0], outputs[1]};
}

}  // namespace ashlar::graph
