#include "ashlar/graph/ops/norm.h"

#include "ashlar/graph/gradient.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/ref/norm.h"

namespace ashlar::graph {
namespace ref = kernels::ref;

namespace {

std::string text_of(const NormSpec& spec) {
  return fmt::format("{}{}", spec.group > 0 ? fmt::format(" group={}", spec.group) : "",
                     spec.zero_centred ? " zero_centred" : "");
}

// Without the blank in front.
std::string trimmed(const std::string& text) { return text.empty() ? text : text.substr(1); }

// "f32[tokens]", or "f32[tokens, groups]"
ValueType statistic_type(const NormSpec& spec, const ValueType& x) {
  if (spec.group == 0) return {DType::kF32, {x.shape[0]}};
  return {DType::kF32, {x.shape[0], x.shape[1].offset / spec.group}};
}

bool each_group_has_its_own(const ValueType& weight) { return weight.shape.rank() == 2; }

void check_weight(std::string_view op, std::string_view what, const NormSpec& spec,
                  const ValueType& x, const ValueType& weight) {
  const int64_t width = spec.group > 0 ? spec.group : x.shape[1].offset;
  const bool own = spec.group > 0 && each_group_has_its_own(weight);
  const SymShape wanted = own ? SymShape{x.shape[1].offset / width, width} : SymShape{width};
  check_type(op, what, weight, {DType::kF32, wanted});
}

// What the kernels see: a row for each group.
struct Rows {
  int64_t rows, width, weight_rows;

  Rows(const NormSpec& spec, const Shape& x, const Shape& weight) {
    width = spec.group > 0 ? spec.group : x[1];
    rows = x.elements() / width;
    weight_rows = weight.elements() / width;
  }
  template <typename Args>
  Args args() const {
    Args args;
    args.rows = rows;
    args.width = width;
    args.weight_rows = weight_rows;
    return args;
  }
};

}  // namespace

std::string NormOp::attributes() const {
  return fmt::format("eps={}{}", spec_.eps, text_of(spec_));
}

std::vector<ValueType> NormOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 3);
  check_rank(kind(), "x", in[0], 2);
  ASHLAR_CHECK(spec_.group == 0 || in[0].shape[1].offset % spec_.group == 0,
               "{}: x is {}, wanted groups of {} channels", kind(), in[0].str(), spec_.group);
  check_weight(kind(), "weight", spec_, in[0], in[1]);
  if (in[2].present) check_type(kind(), "bias", in[2], in[1]);
  const ValueType statistic = statistic_type(spec_, in[0]);
  if (spec_.kind == NormKind::kRms) return {in[0], statistic};
  return {in[0], statistic, statistic};
}

void NormOp::gradient(GradientContext& context) const {
  const bool layer = spec_.kind == NormKind::kLayer;
  const ValueId rstd = context.output(1);
  const ValueId mean = layer ? context.output(2) : ValueId{};
  const ValueId d_y = context.grad(0);
  if (context.wants(0)) {
    context.set(0, context.apply(std::make_shared<NormInputGradOp>(spec_),
                                 {context.input(0), context.input(1), rstd, mean, d_y, ValueId{}},
                                 "input_grad")[0]);
  }
  if (context.wants(1)) {
    const auto [weight_grad, first] = context.gradient_of_parameter(1);
    const bool has_bias = context.wants(2);
    const ValueId bias_grad = has_bias ? context.gradient_of_parameter(2).first : ValueId{};
    context.apply_weight_grad(std::make_shared<NormWeightGradOp>(spec_, first, has_bias),
                              {context.input(0), rstd, mean, d_y, weight_grad, bias_grad},
                              "weight_grad");
  }
}

void NormOp::run(const KernelCall& call) const {
  const Operand& x = call.inputs[0];
  auto args = Rows(spec_, x.shape, call.inputs[1].shape).args<kernels::NormArgs>();
  args.eps = static_cast<float>(spec_.eps);
  args.weight_offset = spec_.zero_centred ? 1 : 0;
  args.dtype = x.dtype;
  args.x = x.data;
  args.weight = call.inputs[1].as<float>();
  if (call.inputs[2].present) args.bias = call.inputs[2].as<float>();
  args.y = call.outputs[0].data;
  args.rstd = call.outputs[1].as<float>();
  if (spec_.kind == NormKind::kRms) {
    call.table.rms_norm(args, call.team);
  } else {
    args.mean = call.outputs[2].as<float>();
    call.table.layer_norm(args, call.team);
  }
}

void NormOp::reference(const ReferenceCall& call) const {
  const Operand& x = call.inputs[0];
  auto args = Rows(spec_, x.shape, call.inputs[1].shape).args<ref::NormArgs>();
  args.eps = spec_.eps;
  args.weight_offset = spec_.zero_centred ? 1 : 0;
  args.x = x.as<double>();
  args.weight = call.inputs[1].as<double>();
  if (call.inputs[2].present) args.bias = call.inputs[2].as<double>();
  args.y = call.outputs[0].as<double>();
  args.rstd = call.outputs[1].as<double>();
  if (spec_.kind == NormKind::kRms) {
    ref::rms_norm(args);
  } else {
    args.mean = call.outputs[2].as<double>();
    ref::layer_norm(args);
  }
}

// ---------------------------------------------------------------- input gradient
std::string NormInputGradOp::attributes() const { return trimmed(text_of(spec_)); }

std::vector<ValueType> NormInputGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, kInputs);
  check_type(kind(), "d_y", in[kDy], in[kX]);
  if (in[kResidual].present) check_type(kind(), "residual gradient", in[kResidual], in[kX]);
  return {in[kX]};
}

void NormInputGradOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs;
  auto args = Rows(spec_, in[kX].shape, in[kWeight].shape).args<kernels::NormGradArgs>();
  args.weight_offset = spec_.zero_centred ? 1 : 0;
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
  auto args = Rows(spec_, in[kX].shape, in[kWeight].shape).args<ref::NormGradArgs>();
  args.weight_offset = spec_.zero_centred ? 1 : 0;
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
std::string NormWeightGradOp::attributes() const {
  // What the weight is added to changes nothing here.
  NormSpec spec = spec_;
  spec.zero_centred = false;
  return trimmed(fmt::format("{}{}", first_ ? " first" : "", text_of(spec)));
}

std::vector<ValueType> NormWeightGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, kInputs);
  check_type(kind(), "d_y", in[kDy], in[kX]);
  check_weight(kind(), "weight grad", spec_, in[kX], in[kWeightGrad]);
  if (!has_bias_) return {in[kWeightGrad]};
  check_type(kind(), "bias grad", in[kBiasGrad], in[kWeightGrad]);
  return {in[kWeightGrad], in[kBiasGrad]};
}

std::vector<Alias> NormWeightGradOp::aliases() const {
  std::vector<Alias> aliases = {{0, kWeightGrad, true}};
  if (has_bias_) aliases.push_back({1, kBiasGrad, true});
  return aliases;
}

void NormWeightGradOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs;
  auto args = Rows(spec_, in[kX].shape, in[kWeightGrad].shape).args<kernels::NormWeightGradArgs>();
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
  auto args = Rows(spec_, in[kX].shape, in[kWeightGrad].shape).args<ref::NormWeightGradArgs>();
  args.x = in[kX].as<double>();
  args.rstd = in[kRstd].as<double>();
  if (in[kMean].present) args.mean = in[kMean].as<double>();
  args.d_y = in[kDy].as<double>();
  args.d_weight = call.outputs[0].as<double>();
  if (has_bias_) args.d_bias = call.outputs[1].as<double>();
  args.accumulate = !(first_ && call.state.first_microbatch);
  ref::norm_weight_grad(args);
}

// ---------------------------------------------------------------- along a mesh axis
// Rows split, or whole groups: then a weight that all groups share is whole on every rank.
namespace {

AxisPlacement weight_of_groups(const ValueType& weight, AxisPlacement shared) {
  return each_group_has_its_own(weight) ? rows() : shared;
}

}  // namespace

std::vector<AxisStrategy> NormOp::strategies(const AxisSite& site) const {
  const size_t outputs = spec_.kind == NormKind::kRms ? 2 : 3;
  std::vector<AxisStrategy> strategies = {
      {{rows(), whole(), whole()}, std::vector<AxisPlacement>(outputs, rows())}};
  if (spec_.group > 0) {
    const AxisPlacement weight = weight_of_groups(site.inputs[1], whole());
    strategies.push_back(
        {{columns(), weight, weight}, std::vector<AxisPlacement>(outputs, columns())});
  }
  return strategies;
}

std::vector<AxisStrategy> NormInputGradOp::strategies(const AxisSite& site) const {
  AxisStrategy split = alike(kInputs, 1, rows());
  split.inputs[kWeight] = whole();
  if (spec_.group == 0) return {split};
  AxisStrategy groups = alike(kInputs, 1, columns());
  groups.inputs[kWeight] = weight_of_groups(site.inputs[kWeight], whole());
  return {split, groups};
}

std::vector<AxisStrategy> NormWeightGradOp::strategies(const AxisSite& site) const {
  const auto strategy = [&](AxisPlacement of_x, AxisPlacement of_grad) {
    AxisStrategy split{std::vector<AxisPlacement>(kInputs, of_x), {}};
    split.inputs[kWeightGrad] = split.inputs[kBiasGrad] = of_grad;
    split.outputs.assign(has_bias_ ? 2 : 1, of_grad);
    return split;
  };
  if (spec_.group == 0) {
    // Columns of ranks that know the statistics of whole rows (norm_sums.h).
    AxisStrategy parts = strategy(columns(), rows());
    parts.inputs[kRstd] = parts.inputs[kMean] = whole();
    return {strategy(rows(), term()), parts};
  }
  return {strategy(rows(), term()),
          strategy(columns(), weight_of_groups(site.inputs[kWeightGrad], term()))};
}

ValueId norm(Builder& b, ValueId x, ValueId weight, ValueId bias, const NormSpec& spec,
             const std::string& name) {
  return b.apply1(std::make_shared<NormOp>(spec), {x, weight, bias}, name);
}

ValueId rms_norm(Builder& b, ValueId x, ValueId weight, double eps, const std::string& name) {
  return norm(b, x, weight, {}, {NormKind::kRms, eps}, name);
}

ValueId layer_norm(Builder& b, ValueId x, ValueId weight, ValueId bias, double eps,
                   const std::string& name) {
  return norm(b, x, weight, bias, {NormKind::kLayer, eps}, name);
}

}  // namespace ashlar::graph
