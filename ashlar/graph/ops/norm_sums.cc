#include "ashlar/graph/ops/norm_sums.h"

#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/ref/norm.h"

namespace ashlar::graph {
namespace ref = kernels::ref;

namespace {

ValueType sums_of(const ValueType& x) { return {DType::kF32, {x.shape[0]}}; }
ValueType weight_of(const ValueType& x) { return {DType::kF32, {x.shape[1]}}; }

template <typename Args>
Args args_of(const Shape& x, bool zero_centred) {
  Args args;
  args.rows = x[0];
  args.width = x[1];
  args.weight_offset = zero_centred ? 1 : 0;
  return args;
}

}  // namespace

// ---------------------------------------------------------------- sums over columns
std::vector<ValueType> RowDotOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, kInputs);
  check_rank(kind(), "a", in[kA], 2);
  check_type(kind(), "b", in[kB], in[kA]);
  if (in[kWeight].present) check_type(kind(), "weight", in[kWeight], weight_of(in[kA]));
  return {sums_of(in[kA])};
}

void RowDotOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs;
  auto args = args_of<kernels::RowDotArgs>(in[kA].shape, zero_centred_);
  args.dtype = in[kA].dtype;
  args.a = in[kA].data;
  args.b = in[kB].data;
  if (in[kWeight].present) args.weight = in[kWeight].as<float>();
  args.sums = call.outputs[0].as<float>();
  call.table.row_dot(args, call.team);
}

void RowDotOp::reference(const ReferenceCall& call) const {
  const std::span<const Operand> in = call.inputs;
  auto args = args_of<ref::RowDotArgs>(in[kA].shape, zero_centred_);
  args.a = in[kA].as<double>();
  args.b = in[kB].as<double>();
  if (in[kWeight].present) args.weight = in[kWeight].as<double>();
  args.sums = call.outputs[0].as<double>();
  ref::row_dot(args);
}

std::vector<AxisStrategy> RowDotOp::strategies(const AxisSite&) const {
  return {{{rows(), rows(), whole()}, {rows()}}, {{columns(), columns(), rows()}, {term()}}};
}

// ---------------------------------------------------------------- forward
std::string SummedNormOp::attributes() const {
  return fmt::format("eps={} of={}{}", spec_.eps, whole_,
                     spec_.zero_centred ? " zero_centred" : "");
}

std::vector<ValueType> SummedNormOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, kInputs);
  check_rank(kind(), "x", in[kX], 2);
  check_type(kind(), "weight", in[kWeight], weight_of(in[kX]));
  check_type(kind(), "squares", in[kSquares], sums_of(in[kX]));
  return {in[kX], sums_of(in[kX])};
}

void SummedNormOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs;
  auto args = args_of<kernels::NormArgs>(in[kX].shape, spec_.zero_centred);
  args.eps = static_cast<float>(spec_.eps);
  args.dtype = in[kX].dtype;
  args.x = in[kX].data;
  args.weight = in[kWeight].as<float>();
  args.squares = in[kSquares].as<float>();
  args.whole = whole_;
  args.y = call.outputs[0].data;
  args.rstd = call.outputs[1].as<float>();
  call.table.rms_norm(args, call.team);
}

void SummedNormOp::reference(const ReferenceCall& call) const {
  const std::span<const Operand> in = call.inputs;
  auto args = args_of<ref::NormArgs>(in[kX].shape, spec_.zero_centred);
  args.eps = spec_.eps;
  args.x = in[kX].as<double>();
  args.weight = in[kWeight].as<double>();
  args.squares = in[kSquares].as<double>();
  args.whole = whole_;
  args.y = call.outputs[0].as<double>();
  args.rstd = call.outputs[1].as<double>();
  ref::rms_norm(args);
}

std::vector<AxisStrategy> SummedNormOp::strategies(const AxisSite&) const {
  return {{{rows(), whole(), rows()}, {rows(), rows()}},
          {{columns(), rows(), whole()}, {columns(), whole()}}};
}

// ---------------------------------------------------------------- input gradient
std::string SummedNormGradOp::attributes() const {
  return fmt::format("of={}{}", whole_, spec_.zero_centred ? " zero_centred" : "");
}

std::vector<ValueType> SummedNormGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, kInputs);
  check_rank(kind(), "x", in[kX], 2);
  check_type(kind(), "weight", in[kWeight], weight_of(in[kX]));
  check_type(kind(), "rstd", in[kRstd], sums_of(in[kX]));
  check_type(kind(), "d_y", in[kDy], in[kX]);
  check_type(kind(), "products", in[kProducts], sums_of(in[kX]));
  return {in[kX]};
}

void SummedNormGradOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs;
  auto args = args_of<kernels::NormGradArgs>(in[kX].shape, spec_.zero_centred);
  args.dtype = in[kX].dtype;
  args.x = in[kX].data;
  args.weight = in[kWeight].as<float>();
  args.rstd = in[kRstd].as<float>();
  args.d_y = in[kDy].data;
  args.products = in[kProducts].as<float>();
  args.whole = whole_;
  args.d_x = call.outputs[0].data;
  call.table.norm_grad(args, call.team);
}

void SummedNormGradOp::reference(const ReferenceCall& call) const {
  const std::span<const Operand> in = call.inputs;
  auto args = args_of<ref::NormGradArgs>(in[kX].shape, spec_.zero_centred);
  args.x = in[kX].as<double>();
  args.weight = in[kWeight].as<double>();
  args.rstd = in[kRstd].as<double>();
  args.d_y = in[kDy].as<double>();
  args.products = in[kProducts].as<double>();
  args.whole = whole_;
  args.d_x = call.outputs[0].as<double>();
  ref::norm_grad(args);
}

std::vector<AxisStrategy> SummedNormGradOp::strategies(const AxisSite&) const {
  return {{{rows(), whole(), rows(), rows(), rows()}, {rows()}},
          {{columns(), rows(), whole(), columns(), whole()}, {columns()}}};
}

}  // namespace ashlar::graph
