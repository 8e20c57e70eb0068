#include "ashlar/graph/ops/linear.h"

#include "ashlar/graph/gradient.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/ref/gemm.h"

#include <array>

namespace ashlar::graph {
namespace {

using kernels::GemmArgs;
using kernels::MatrixView;
namespace ref = kernels::ref;

MatrixView rows_of(const Operand& x) { return {x.data, x.dtype, x.shape[1], 1}; }
MatrixView columns_of(const Operand& x) { return {x.data, x.dtype, 1, x.shape[1]}; }
ref::MatrixView rows_f64(const Operand& x) { return {x.as<double>(), x.shape[1], 1}; }
ref::MatrixView columns_f64(const Operand& x) { return {x.as<double>(), 1, x.shape[1]}; }

// y = x W^T: element (k, n) of the right operand is W[n, k].
GemmArgs forward_args(std::span<const Operand> in, const Operand& y, PackedWeight packed) {
  GemmArgs args;
  args.m = in[LinearOp::kX].shape[0];
  args.r = in[LinearOp::kX].shape[1];
  args.n = y.shape[1];
  args.a = rows_of(in[LinearOp::kX]);
  if (packed) {
    packed.put(in[LinearOp::kWeight], args);
  } else {
    args.b = columns_of(in[LinearOp::kWeight]);
  }
  args.c = y.data;
  args.c_dtype = y.dtype;
  args.c_stride = y.shape[1];
  return args;
}

GemmArgs low_rank_args(std::span<const Operand> in, const Operand& y) {
  GemmArgs args;
  args.m = y.shape[0];
  args.r = in[LinearOp::kDown].shape[1];
  args.n = y.shape[1];
  args.a = rows_of(in[LinearOp::kDown]);
  args.b = columns_of(in[LinearOp::kUp]);
  args.c = y.data;
  args.c_dtype = y.dtype;
  args.c_stride = y.shape[1];
  args.accumulate = true;
  return args;
}

GemmArgs input_grad_args(std::span<const Operand> in, const Operand& d_x) {
  GemmArgs args;
  args.m = in[0].shape[0];
  args.r = in[0].shape[1];
  args.n = in[1].shape[1];
  args.a = rows_of(in[0]);
  args.b = rows_of(in[1]);
  args.c = d_x.data;
  args.c_dtype = d_x.dtype;
  args.c_stride = d_x.shape[1];
  if (in[2].present) {
    args.residual = in[2].data;
    args.residual_stride = in[2].shape[1];
  }
  return args;
}

GemmArgs weight_grad_args(std::span<const Operand> in, const Operand& grad, bool overwrite) {
  GemmArgs args;
  args.m = in[0].shape[1];
  args.r = in[0].shape[0];
  args.n = in[1].shape[1];
  args.a = columns_of(in[0]);
  args.b = rows_of(in[1]);
  args.c = grad.data;
  args.c_dtype = grad.dtype;
  args.c_stride = grad.shape[1];
  args.accumulate = !overwrite;
  return args;
}

double matmul_flops(int64_t m, int64_t n, int64_t r) {
  return 2.0 * static_cast<double>(m) * static_cast<double>(n) * static_cast<double>(r);
}

}  // namespace

// ---------------------------------------------------------------- forward
std::string LinearOp::attributes() const {
  std::string text;
  if (activation_ != kernels::Activation::kNone) text += " " + std::string(name(activation_));
  if (out_) text += " out=" + std::string(ashlar::name(*out_));
  if (packed_) text += " " + packed_.str();
  return text.empty() ? text : text.substr(1);
}

std::vector<ValueType> LinearOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, kInputs);
  check_rank(kind(), "x", in[kX], 2);
  check_rank(kind(), "weight", in[kWeight], packed_ ? 1 : 2);
  const Dim tokens = in[kX].shape[0], inner = in[kX].shape[1];
  const Dim outer = packed_ ? Dim(packed_.outputs) : in[kWeight].shape[0];
  ASHLAR_CHECK(packed_ || in[kWeight].shape[1] == inner,
               "linear: inner dims differ: x is {}, weight is {}", in[kX].str(), in[kWeight].str());
  const ValueType y{out_.value_or(in[kX].dtype), {tokens, outer}};
  if (in[kBias].present) check_type(kind(), "bias", in[kBias], {DType::kF32, {outer}});
  if (in[kResidual].present) check_type(kind(), "residual", in[kResidual], y);
  ASHLAR_CHECK(in[kDown].present == in[kUp].present,
               "linear: a low-rank term needs both of its factors");
  if (in[kDown].present) {
    check_rank(kind(), "low-rank down", in[kDown], 2);
    check_shape(kind(), "low-rank up", in[kUp], {outer, in[kDown].shape[1]});
  }
  return {y};
}

void LinearOp::gradient(GradientContext& context) const {
  ASHLAR_CHECK(activation_ == kernels::Activation::kNone,
               "linear {}: a fused activation is not differentiable; fuse after differentiation",
               context.node().name);
  const ValueId d_y = context.grad(0);
  const std::optional<DType> d_x =
      out_ ? std::optional(context.type(context.input(kX)).dtype) : std::nullopt;
  const auto d_input = [&](ValueId d, ValueId weight, const char* suffix) {
    return context.apply(std::make_shared<LinearInputGradOp>(d_x), {d, weight, ValueId{}},
                         suffix)[0];
  };
  const auto d_weight = [&](int input, ValueId d, ValueId x, const char* suffix) {
    context.add_to_parameter(
        input, [](bool first) { return std::make_shared<LinearWeightGradOp>(first); }, {d, x},
        suffix);
  };
  if (context.wants(kX)) context.set(kX, d_input(d_y, context.input(kWeight), "input_grad"));
  if (context.wants(kDown)) context.set(kDown, d_input(d_y, context.input(kUp), "down_grad"));
  if (context.wants(kResidual)) context.set(kResidual, d_y);
  if (context.wants(kWeight)) d_weight(kWeight, d_y, context.input(kX), "weight_grad");
  if (context.wants(kUp)) d_weight(kUp, d_y, context.input(kDown), "up_grad");
  if (context.wants(kBias)) {
    context.add_to_parameter(
        kBias, [](bool first) { return std::make_shared<BiasGradOp>(first); }, {d_y}, "bias_grad");
  }
}

Cost LinearOp::cost(std::span<const Operand> in, std::span<const Operand> out) const {
  Cost cost = Op::cost(in, out);
  cost.flops = matmul_flops(in[kX].shape[0], out[0].shape[1], in[kX].shape[1]);
  if (in[kDown].present) {
    cost.flops += matmul_flops(in[kX].shape[0], out[0].shape[1], in[kDown].shape[1]);
  }
  return cost;
}

int64_t LinearOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand> out,
                                const kernels::KernelTable& table, int threads) const {
  ASHLAR_CHECK(packed_ || !is_block(in[kWeight].dtype),
               "linear: a weight of {} can only be multiplied when packed",
               ashlar::name(in[kWeight].dtype));
  int64_t bytes = table.gemm_scratch(forward_args(in, out[0], packed_), threads);
  if (in[kDown].present) {
    bytes = std::max(bytes, table.gemm_scratch(low_rank_args(in, out[0]), threads));
  }
  return bytes;
}

void LinearOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs;
  GemmArgs last = forward_args(in, call.outputs[0], packed_);
  if (in[kDown].present) {
    call.table.gemm(last, call.team);
    last = low_rank_args(in, call.outputs[0]);
  }
  if (in[kBias].present) last.bias = in[kBias].as<float>();
  last.activation = activation_;
  if (in[kResidual].present) {
    last.residual = in[kResidual].data;
    last.residual_stride = in[kResidual].shape[1];
  }
  call.table.gemm(last, call.team);
}

void LinearOp::reference(const ReferenceCall& call) const {
  ASHLAR_CHECK(!packed_, "linear: a packed weight has no fp64 reference");
  const std::span<const Operand> in = call.inputs;
  const Operand& y = call.outputs[0];
  ref::GemmArgs args;
  args.m = y.shape[0];
  args.n = y.shape[1];
  args.r = in[kX].shape[1];
  args.a = rows_f64(in[kX]);
  args.b = columns_f64(in[kWeight]);
  args.c = y.as<double>();
  args.c_stride = y.shape[1];
  // The residual may live in y's storage, so the low-rank term cannot go through y first.
  std::vector<double> sum;
  if (in[kDown].present) {
    sum.resize(static_cast<size_t>(y.shape.elements()));
    args.c = sum.data();
    ref::gemm(args);
    args.r = in[kDown].shape[1];
    args.a = rows_f64(in[kDown]);
    args.b = columns_f64(in[kUp]);
    args.accumulate = true;
  }
  if (in[kBias].present) args.bias = in[kBias].as<double>();
  args.activation = activation_;
  if (in[kResidual].present) {
    args.residual = in[kResidual].as<double>();
    args.residual_stride = y.shape[1];
  }
  ref::gemm(args);
  if (in[kDown].present) std::copy(sum.begin(), sum.end(), y.as<double>());
}

// Tokens split; outputs split (Megatron's column-parallel layer); inputs split (row-parallel),
// where bias and residual join one term of the sum only.
std::vector<AxisStrategy> LinearOp::strategies(const AxisSite&) const {
  if (packed_) return {};
  return {{{rows(), whole(), whole(), rows(), rows(), whole()}, {rows()}},
          {{whole(), rows(), rows(), columns(), whole(), rows()}, {columns()}},
          {{columns(), columns(), term(), term(), term(), whole()}, {term()}}};
}

// ---------------------------------------------------------------- input gradient
std::string LinearInputGradOp::attributes() const {
  return out_ ? "out=" + std::string(ashlar::name(*out_)) : "";
}

std::vector<ValueType> LinearInputGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 3);
  check_rank(kind(), "d_y", in[0], 2);
  check_rank(kind(), "weight", in[1], 2);
  ASHLAR_CHECK(in[0].shape[1] == in[1].shape[0],
               "linear_input_grad: dims differ: d_y is {}, weight is {}", in[0].str(), in[1].str());
  const ValueType d_x{out_.value_or(in[0].dtype), {in[0].shape[0], in[1].shape[1]}};
  if (in[2].present) check_type(kind(), "residual", in[2], d_x);
  return {d_x};
}

Cost LinearInputGradOp::cost(std::span<const Operand> in, std::span<const Operand> out) const {
  return {matmul_flops(in[0].shape[0], in[1].shape[0], in[1].shape[1]), Op::cost(in, out).bytes};
}

int64_t LinearInputGradOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand> out,
                                         const kernels::KernelTable& table, int threads) const {
  return table.gemm_scratch(input_grad_args(in, out[0]), threads);
}

void LinearInputGradOp::run(const KernelCall& call) const {
  call.table.gemm(input_grad_args(call.inputs, call.outputs[0]), call.team);
}

void LinearInputGradOp::reference(const ReferenceCall& call) const {
  ref::GemmArgs args;
  const Operand& d_x = call.outputs[0];
  args.m = d_x.shape[0];
  args.n = d_x.shape[1];
  args.r = call.inputs[0].shape[1];
  args.a = rows_f64(call.inputs[0]);
  args.b = rows_f64(call.inputs[1]);
  args.c = d_x.as<double>();
  args.c_stride = d_x.shape[1];
  if (call.inputs[2].present) {
    args.residual = call.inputs[2].as<double>();
    args.residual_stride = d_x.shape[1];
  }
  ref::gemm(args);
}

std::vector<AxisStrategy> LinearInputGradOp::strategies(const AxisSite&) const {
  return {{{rows(), whole(), rows()}, {rows()}},
          {{columns(), rows(), term()}, {term()}},
          {{whole(), columns(), columns()}, {columns()}}};
}

// ---------------------------------------------------------------- weight gradient
std::vector<ValueType> LinearWeightGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 3);
  check_rank(kind(), "d_y", in[0], 2);
  check_rank(kind(), "x", in[1], 2);
  ASHLAR_CHECK(in[0].shape[0] == in[1].shape[0],
               "linear_weight_grad: rows differ: d_y is {}, x is {}", in[0].str(), in[1].str());
  check_shape(kind(), "grad", in[2], {in[0].shape[1], in[1].shape[1]});
  return {in[2]};
}

Cost LinearWeightGradOp::cost(std::span<const Operand> in, std::span<const Operand> out) const {
  return {matmul_flops(in[0].shape[0], in[0].shape[1], in[1].shape[1]), Op::cost(in, out).bytes};
}

int64_t LinearWeightGradOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand> out,
                                          const kernels::KernelTable& table, int threads) const {
  return table.gemm_scratch(weight_grad_args(in, out[0], false), threads);
}

void LinearWeightGradOp::run(const KernelCall& call) const {
  const bool overwrite = first_ && call.state.first_microbatch;
  call.table.gemm(weight_grad_args(call.inputs, call.outputs[0], overwrite), call.team);
}

void LinearWeightGradOp::reference(const ReferenceCall& call) const {
  ref::GemmArgs args;
  const Operand& grad = call.outputs[0];
  args.m = grad.shape[0];
  args.n = grad.shape[1];
  args.r = call.inputs[0].shape[0];
  args.a = columns_f64(call.inputs[0]);
  args.b = rows_f64(call.inputs[1]);
  args.c = grad.as<double>();
  args.c_stride = grad.shape[1];
  args.accumulate = !(first_ && call.state.first_microbatch);
  ref::gemm(args);
}

std::vector<AxisStrategy> LinearWeightGradOp::strategies(const AxisSite&) const {
  return {{{rows(), rows(), term()}, {term()}},
          {{columns(), whole(), rows()}, {rows()}},
          {{whole(), columns(), columns()}, {columns()}}};
}

// ---------------------------------------------------------------- bias gradient
std::vector<ValueType> BiasGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 2);
  check_rank(kind(), "d_y", in[0], 2);
  check_type(kind(), "grad", in[1], {DType::kF32, {in[0].shape[1]}});
  return {in[1]};
}

void BiasGradOp::run(const KernelCall& call) const {
  const Operand& d_y = call.inputs[0];
  call.table.column_sum({d_y.shape[0], d_y.shape[1], d_y.dtype, d_y.data,
                         call.outputs[0].as<float>(), !(first_ && call.state.first_microbatch)},
                        call.team);
}

void BiasGradOp::reference(const ReferenceCall& call) const {
  const Operand& d_y = call.inputs[0];
  auto* sum = call.outputs[0].as<double>();
  const int64_t rows = d_y.shape[0], width = d_y.shape[1];
  for (int64_t c = 0; c < width; ++c) {
    double total = first_ && call.state.first_microbatch ? 0.0 : sum[c];
    for (int64_t t = 0; t < rows; ++t) total += d_y.as<double>()[t * width + c];
    sum[c] = total;
  }
}

std::vector<AxisStrategy> BiasGradOp::strategies(const AxisSite&) const {
  return {{{rows(), term()}, {term()}}, {{columns(), rows()}, {rows()}}};
}

ValueId linear(Builder& b, ValueId x, ValueId weight, const LinearOptions& options,
               const std::string& name, std::optional<DType> out) {
  return b.apply1(
      std::make_shared<LinearOp>(options.activation, out),
      {x, weight, options.bias, options.residual, options.low_rank_down, options.low_rank_up},
      name);
}

}  // namespace ashlar::graph
