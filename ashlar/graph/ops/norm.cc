#include "ashlar/graph/ops/norm.h"

#include "ashlar/graph/gradient.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/ref/norm.h"

namespace ashlar::graph {
namespace ref = kernels::ref;

std::string NormOp::attributes() const { return fmt::format("eps={}", eps_); }

std::vector<ValueType> NormOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 3);
  check_rank(kind(), "x", in[0], 2);
  const ValueType per_channel{DType::kF32, {in[0].shape[1]}};
  const ValueType per_row{DType::kF32, {in[0].shape[0]}};
  check_type(kind(), "weight", in[1], per_channel);
  if (in[2].present) check_type(kind(), "bias", in[2], per_channel);
  if (norm_ == NormKind::kRms) return {in[0], per_row};
  return {in[0], per_row, per_row};
}

void NormOp::gradient(GradientContext& context) const {
  const bool layer = norm_ == NormKind::kLayer;
  const ValueId rstd = context.output(1);
  const ValueId mean = layer ? context.output(2) : ValueId{};
  const ValueId d_y = context.grad(0);
  if (context.wants(0)) {
    context.set(0, context.apply(std::make_shared<NormInputGradOp>(),
                                 {context.input(0), context.input(1), rstd, mean, d_y, ValueId{}},
                                 "input_grad")[0]);
  }
  if (context.wants(1)) {
    const auto [weight_grad, first] = context.gradient_of_parameter(1);
    const bool has_bias = context.wants(2);
    const ValueId bias_grad = has_bias ? context.gradient_of_parameter(2).first : ValueId{};
    context.apply_weight_grad(std::make_shared<NormWeightGradOp>(first, has_bias),
                              {context.input(0), rstd, mean, d_y, weight_grad, bias_grad},
                              "weight_grad");
  }
}

void NormOp::run(const KernelCall& call) const {
  const Operand& x = call.inputs[0];
  kernels::NormArgs args;
  args.rows = x.shape[0];
  args.width = x.shape[1];
  args.eps = static_cast<float>(eps_);
  args.dtype = x.dtype;
  args.x = x.data;
  args.weight = call.inputs[1].as<float>();
  if (call.inputs[2].present) args.bias = call.inputs[2].as<float>();
  args.y = call.outputs[0].data;
  args.rstd = call.outputs[1].as<float>();
  if (norm_ == NormKind::kRms) {
    call.table.rms_norm(args, call.team);
  } else {
    args.mean = call.outputs[2].as<float>();
    call.table.layer_norm(args, call.team);
  }
}

void NormOp::reference(const ReferenceCall& call) const {
  const Operand& x = call.inputs[0];
  ref::NormArgs args;
  args.rows = x.shape[0];
  args.width = x.shape[1];
  args.eps = eps_;
  args.x = x.as<double>();
  args.weight = call.inputs[1].as<double>();
  if (call.inputs[2].present) args.bias = call.inputs[2].as<double>();
  args.y = call.outputs[0].as<double>();
  args.rstd = call.outputs[1].as<double>();
  if (norm_ == NormKind::kRms) {
    ref::rms_norm(args);
  } else {
    args.mean = call.outputs[2].as<double>();
    ref::layer_norm(args);
  }
}

// ---------------------------------------------------------------- input gradient
std::vector<ValueType> NormInputGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, kInputs);
  check_type(kind(), "d_y", in[kDy], in[kX]);
  if (in[kResidual].present) check_type(kind(), "residual gradient", in[kResidual], in[kX]);
  return {in[kX]};
}

void NormInputGradOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs;
  kernels::NormGradArgs args;
  args.rows = in[kX].shape[0];
  args.width = in[kX].shape[1];
  args.dtype = in[kX].dtype;
  args.x = in[kX].data;
  args.weight = in[kWeight].as<float>();
  args.rstd = in[kRstd].as<float>();
  if (in[kMean].present) args.mean = in[kMean].as<float>();
  args.d_y = in[kDy].data;
  if (in[kResidual].present) args.residual_grad = in[kResidual].data;
  args.d_x = call.outputs[0].data;
  call.table.norm_grad(args, call.team);
}

void NormInputGradOp::reference(const ReferenceCall& call) const {
  const std::span<const Operand> in = call.inputs;
  ref::NormGradArgs args;
  args.rows = in[kX].shape[0];
  args.width = in[kX].shape[1];
  args.x = in[kX].as<double>();
  args.weight = in[kWeight].as<double>();
  args.rstd = in[kRstd].as<double>();
  if (in[kMean].present) args.mean = in[kMean].as<double>();
  args.d_y = in[kDy].as<double>();
  if (in[kResidual].present) args.residual_grad = in[kResidual].as<double>();
  args.d_x = call.outputs[0].as<double>();
  ref::norm_grad(args);
}

// ---------------------------------------------------------------- weight gradient
std::vector<ValueType> NormWeightGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, kInputs);
  check_type(kind(), "d_y", in[kDy], in[kX]);
  const ValueType per_channel{DType::kF32, {in[kX].shape[1]}};
  check_type(kind(), "weight grad", in[kWeightGrad], per_channel);
  if (!has_bias_) return {per_channel};
  check_type(kind(), "bias grad", in[kBiasGrad], per_channel);
  return {per_channel, per_channel};
}

std::vector<Alias> NormWeightGradOp::aliases() const {
  std::vector<Alias> aliases = {{0, kWeightGrad, true}};
  if (has_bias_) aliases.push_back({1, kBiasGrad, true});
  return aliases;
}

void NormWeightGradOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs;
  kernels::NormWeightGradArgs args;
  args.rows = in[kX].shape[0];
  args.width = in[kX].shape[1];
  args.dtype = in[kX].dtype;
  args.x = in[kX].data;
  args.rstd = in[kRstd].as<float>();
  if (in[kMean].present) args.mean = in[kMean].as<float>();
  args.d_y = in[kDy].data;
  args.d_weight = call.outputs[0].as<float>();
  if (has_bias_) args.d_bias = call.outputs[1].as<float>();
  args.accumulate = !(first_ && call.state.first_microbatch);
  call.table.norm_weight_grad(args, call.team);
}

void NormWeightGradOp::reference(const ReferenceCall& call) const {
  const std::span<const Operand> in = call.inputs;
  ref::NormWeightGradArgs args;
  args.rows = in[kX].shape[0];
  args.width = in[kX].shape[1];
  args.x = in[kX].as<double>();
  args.rstd = in[kRstd].as<double>();
  if (in[kMean].present) args.mean = in[kMean].as<double>();
  args.d_y = in[kDy].as<double>();
  args.d_weight = call.outputs[0].as<double>();
  if (has_bias_) args.d_bias = call.outputs[1].as<double>();
  args.accumulate = !(first_ && call.state.first_microbatch);
  ref::norm_weight_grad(args);
}

// ---------------------------------------------------------------- along a mesh axis: rows split
std::vector<AxisStrategy> NormOp::strategies(const AxisSite&) const {
  const size_t outputs = norm_ == NormKind::kRms ? 2 : 3;
  return {{{rows(), whole(), whole()}, std::vector<AxisPlacement>(outputs, rows())}};
}

std::vector<AxisStrategy> NormInputGradOp::strategies(const AxisSite&) const {
  AxisStrategy split = alike(kInputs, 1, rows());
  split.inputs[kWeight] = whole();
  return {split};
}

std::vector<AxisStrategy> NormWeightGradOp::strategies(const AxisSite&) const {
  AxisStrategy split{std::vector<AxisPlacement>(kInputs, rows()), {}};
  split.inputs[kWeightGrad] = split.inputs[kBiasGrad] = term();
  split.outputs.assign(has_bias_ ? 2 : 1, term());
  return {split};
}

ValueId rms_norm(Builder& b, ValueId x, ValueId weight, double eps, const std::string& name) {
  return b.apply1(std::make_shared<NormOp>(NormKind::kRms, eps), {x, weight, ValueId{}}, name);
}

ValueId layer_norm(Builder& b, ValueId x, ValueId weight, ValueId bias, double eps,
                   const std::string& name) {
  return b.apply1(std::make_shared<NormOp>(NormKind::kLayer, eps), {x, weight, bias}, name);
}

}  // namespace ashlar::graph
