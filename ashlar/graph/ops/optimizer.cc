#include "ashlar/graph/ops/optimizer.h"

#include "ashlar/base/philox.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/ref/optimizer.h"

#include <algorithm>
#include <cmath>

namespace ashlar::graph {
namespace ref = kernels::ref;

// Gradients may be kept in 16 bits (passes/round_gradients.h).
static bool is_gradient(DType dtype) { return dtype == DType::kF32 || dtype == DType::kBF16; }

// ---------------------------------------------------------------- sum of squares
std::vector<ValueType> SumSquaresOp::infer(std::span<const ValueType> in) const {
  for (const ValueType& gradient : in) {
    ASHLAR_CHECK(!gradient.present || is_gradient(gradient.dtype),
                 "sum_squares: gradient is {}, wanted f32 or bf16", gradient.str());
  }
  return {{DType::kF64, {1}}};
}

int64_t SumSquaresOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand>,
                                    const kernels::KernelTable& table, int) const {
  int64_t bytes = 0;
  for (const Operand& gradient : in) {
    bytes = std::max(bytes, table.sum_squares_scratch(gradient.shape.elements()));
  }
  return bytes;
}

void SumSquaresOp::run(const KernelCall& call) const {
  double total = 0;
  for (const Operand& gradient : call.inputs) {
    double sum = 0;
    call.table.sum_squares({gradient.shape.elements(), gradient.data, &sum, gradient.dtype},
                           call.team);
    total += sum;
  }
  call.outputs[0].as<double>()[0] = total;
}

void SumSquaresOp::reference(const ReferenceCall& call) const {
  double total = 0;
  for (const Operand& gradient : call.inputs) {
    double sum = 0;
    ref::sum_squares({gradient.shape.elements(), gradient.as<double>(), &sum});
    total += sum;
  }
  call.outputs[0].as<double>()[0] = total;
}

// What is split gives a term of the sum on each rank; what is whole is counted by the first alone.
std::vector<AxisStrategy> SumSquaresOp::strategies(const AxisSite& site) const {
  AxisStrategy terms{{}, {term()}};
  bool any = false;
  for (const AxisPlacement& now : site.now) {
    any = any || now.is_split();
    terms.inputs.push_back(now.is_split() ? now : term());
  }
  return any ? std::vector<AxisStrategy>{terms} : std::vector<AxisStrategy>{};
}

// ---------------------------------------------------------------- clipping
std::string ClipScaleOp::attributes() const { return fmt::format("max_norm={}", max_norm_); }

std::vector<ValueType> ClipScaleOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 2);
  check_type(kind(), "sum of squares", in[0], {DType::kF64, {1}});
  if (in[1].present) check_type(kind(), "gradient scale", in[1], {DType::kF32, {1}});
  return {{DType::kF32, {1}}, {DType::kF32, {1}}};
}

double clip_scale(double norm, double max_norm) {
  return max_norm > 0 ? std::min(1.0, max_norm / (norm + 1e-6)) : 1.0;
}

void ClipScaleOp::run(const KernelCall& call) const {
  const double loss_scale =
      call.inputs[1].present ? static_cast<double>(call.inputs[1].as<float>()[0]) : 1;
  const double norm = std::sqrt(call.inputs[0].as<double>()[0]) / loss_scale;
  call.outputs[0].as<float>()[0] = static_cast<float>(norm);
  call.outputs[1].as<float>()[0] = static_cast<float>(clip_scale(norm, max_norm_) / loss_scale);
}

void ClipScaleOp::reference(const ReferenceCall& call) const {
  const double loss_scale = call.inputs[1].present ? call.inputs[1].as<double>()[0] : 1;
  const double norm = std::sqrt(call.inputs[0].as<double>()[0]) / loss_scale;
  call.outputs[0].as<double>()[0] = norm;
  call.outputs[1].as<double>()[0] = clip_scale(norm, max_norm_) / loss_scale;
}

// ---------------------------------------------------------------- AdamW
std::string AdamWOp::attributes() const {
  return fmt::format("beta1={} beta2={} eps={} decay={}{}", spec_.beta1, spec_.beta2, spec_.eps,
                     spec_.weight_decay, spec_.stochastic.empty() ? "" : " stochastic");
}

std::vector<ValueType> AdamWOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, kInputs);
  ASHLAR_CHECK(
      in[kParam].dtype == DType::kF32 || (in[kParam].dtype == DType::kBF16 && !has_shadow_),
      "adamw: param is {}, wanted f32, or bf16 without a shadow", in[kParam].str());
  const ValueType f32{DType::kF32, in[kParam].shape};
  ASHLAR_CHECK(is_gradient(in[kGrad].dtype) && in[kGrad].shape == f32.shape,
               "adamw: grad is {}, wanted {} or bf16", in[kGrad].str(), f32.str());
  for (const Input i : {kM, kV}) check_type(kind(), "m or v", in[i], f32);
  check_type(kind(), "lr", in[kLr], {DType::kF32, {1}});
  check_type(kind(), "scale", in[kScale], {DType::kF32, {1}});
  std::vector<ValueType> types = {in[kParam], in[kM], in[kV]};
  if (has_shadow_) {
    const DType dtype = in[kShadow].dtype == DType::kF16 ? DType::kF16 : DType::kBF16;
    check_type(kind(), "shadow", in[kShadow], {dtype, in[kParam].shape});
    types.push_back(in[kShadow]);
  }
  return types;
}

std::vector<AxisStrategy> AdamWOp::strategies(const AxisSite& site) const {
  std::vector<AxisStrategy> result;
  for (int dim = 0; dim < site.inputs[kParam].shape.rank(); ++dim) {
    const AxisPlacement part = AxisPlacement::split(dim);
    result.push_back({{part, part, part, part, whole(), whole(), part},
                      std::vector<AxisPlacement>(has_shadow_ ? 4 : 3, part)});
  }
  return result;
}

// What is updated is what there are moments of, whatever more the rank holds of the parameter.
std::shared_ptr<const Op> AdamWOp::local(const LocalSite& site) const {
  const Part& part = site.parts[kM];
  if (spec_.stochastic.empty() || part.empty()) return nullptr;
  const auto runs = runs_of(part, site.whole[kM].shape.bind({}).dims());
  ASHLAR_CHECK(runs,
               "adamw: {}: {} cuts two dims behind the first, which stochastic rounding does "
               "not know",
               site.label, str(part));
  return std::make_shared<AdamWOp>(spec_, has_shadow_, *runs);
}

std::vector<Alias> AdamWOp::aliases() const {
  std::vector<Alias> aliases = {{0, kParam, true}, {1, kM, true}, {2, kV, true}};
  if (has_shadow_) aliases.push_back({3, kShadow, true});
  return aliases;
}

namespace {

// Moments know of updates only: a skipped step left them as they were.
double update_of(const RunState& state) { return static_cast<double>(state.step - state.skipped); }

}  // namespace

void AdamWOp::run(const KernelCall& call) const {
  const double update = update_of(call.state);
  kernels::AdamWArgs args;
  args.elements = call.outputs[0].shape.elements();
  args.param_dtype = call.outputs[0].dtype;
  args.param = call.outputs[0].data;
  args.m = call.outputs[1].as<float>();
  args.v = call.outputs[2].as<float>();
  args.grad_dtype = call.inputs[kGrad].dtype;
  args.grad = call.inputs[kGrad].data;
  if (has_shadow_) {
    args.shadow_dtype = call.outputs[3].dtype;
    args.shadow = call.outputs[3].data;
  }
  if (!spec_.stochastic.empty()) {
    args.stochastic = true;
    args.key = stream_key(call.state.seed, spec_.stochastic);
    args.step = call.state.step;
    args.first_element = place_.first;
    args.run = place_.run;
    args.stride = place_.stride;
  }
  args.grad_scale = call.inputs[kScale].as<float>()[0];
  args.lr = call.inputs[kLr].as<float>()[0];
  args.beta1 = static_cast<float>(spec_.beta1);
  args.beta2 = static_cast<float>(spec_.beta2);
  args.eps = static_cast<float>(spec_.eps);
  args.weight_decay = static_cast<float>(spec_.weight_decay);
  args.bias_correction1 = static_cast<float>(1 - std::pow(spec_.beta1, update));
  args.bias_correction2 = static_cast<float>(1 - std::pow(spec_.beta2, update));
  call.table.adamw(args, call.team);
}

void AdamWOp::reference(const ReferenceCall& call) const {
  const double update = update_of(call.state);
  ref::AdamWArgs args;
  args.elements = call.outputs[0].shape.elements();
  args.param = call.outputs[0].as<double>();
  args.m = call.outputs[1].as<double>();
  args.v = call.outputs[2].as<double>();
  args.grad = call.inputs[kGrad].as<double>();
  args.grad_scale = call.inputs[kScale].as<double>()[0];
  args.lr = call.inputs[kLr].as<double>()[0];
  args.beta1 = spec_.beta1;
  args.beta2 = spec_.beta2;
  args.eps = spec_.eps;
  args.weight_decay = spec_.weight_decay;
  args.bias_correction1 = 1 - std::pow(spec_.beta1, update);
  args.bias_correction2 = 1 - std::pow(spec_.beta2, update);
  ref::adamw(args);
  if (has_shadow_) {
    std::copy_n(args.param, args.elements, call.outputs[3].as<double>());
  }
}

}  // namespace ashlar::graph
