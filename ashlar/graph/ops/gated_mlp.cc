#include "ashlar/graph/ops/gated_mlp.h"

#include "ashlar/base/error.h"
#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/row_norm.h"
#include "ashlar/graph/ops/shape_rules.h"

#include <fmt/format.h>

namespace ashlar::graph {
namespace {

kernels::GemmArgs product(const Operand& weight, const PackedWeight& packed, int64_t rows,
                          int64_t inner) {
  kernels::GemmArgs args;
  args.m = rows;
  args.n = packed.outputs;
  args.r = inner;
  packed.put(weight, args);
  return args;
}

}  // namespace

std::string GatedMlpOp::attributes() const {
  return fmt::format(
      "{} inner={} outputs={} gate={} up={} down={}{}{}", name(activation_), weights_.gate.outputs,
      weights_.down.outputs, ashlar::name(weights_.gate.format), ashlar::name(weights_.up.format),
      ashlar::name(weights_.down.format), norm_ ? ", " : "", norm_ ? row_norm_text(*norm_) : "");
}

std::vector<ValueType> GatedMlpOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, kInputs + (norm_ ? 2 : 0));
  check_rank(kind(), "x", in[kX], 2);
  for (const Input weight : {kGate, kUp, kDown}) check_rank(kind(), "weight", in[weight], 1);
  for (const PackedWeight& weight : {weights_.gate, weights_.up, weights_.down}) {
    ASHLAR_CHECK(kernels::multiplies(weight.format), "gated_mlp: a weight of {} is not of blocks",
                 ashlar::name(weight.format));
  }
  ASHLAR_CHECK(weights_.gate.outputs == weights_.up.outputs,
               "gated_mlp: the gate has {} outputs, up has {}", weights_.gate.outputs,
               weights_.up.outputs);
  ASHLAR_CHECK(in[kX].dtype == DType::kF32, "gated_mlp: x is {}, f32 is wanted", in[kX].str());
  const Dim outer(weights_.down.outputs);
  const ValueType y{DType::kF32, {in[kX].shape[0], outer}};
  if (in[kBias].present) check_type(kind(), "bias", in[kBias], {DType::kF32, {outer}});
  if (in[kResidual].present) check_type(kind(), "residual", in[kResidual], y);
  if (norm_) check_row_norm(kind(), in[kX], in[kNormInput], in[kNormInput + 1]);
  return {y};
}

Cost GatedMlpOp::cost(std::span<const Operand> in, std::span<const Operand> out) const {
  Cost cost = Op::cost(in, out);
  const double inner = static_cast<double>(weights_.gate.outputs);
  const double ends = static_cast<double>(2 * in[kX].shape[1] + out[0].shape[1]);
  cost.flops = 2 * static_cast<double>(in[kX].shape[0]) * inner * ends;
  return cost;
}

kernels::GatedMlpArgs GatedMlpOp::args(std::span<const Operand> in, const Operand& y) const {
  const Operand& x = in[kX];
  const int64_t rows = x.shape[0], inner = weights_.gate.outputs;
  kernels::GatedMlpArgs args;
  args.gate = product(in[kGate], weights_.gate, rows, x.shape[1]);
  args.up = product(in[kUp], weights_.up, rows, x.shape[1]);
  args.gate.a = args.up.a = {x.data, x.dtype, x.shape[1], 1};
  if (norm_) args.gate.norm = args.up.norm = row_norm(*norm_, in[kNormInput], in[kNormInput + 1]);
  args.activation = activation_;
  args.down = product(in[kDown], weights_.down, rows, inner);
  args.down.c = y.data;
  args.down.c_stride = y.shape[1];
  if (in[kBias].present) args.down.bias = in[kBias].as<float>();
  if (in[kResidual].present) {
    args.down.residual = in[kResidual].data;
    args.down.residual_stride = in[kResidual].shape[1];
  }
  return args;
}

int64_t GatedMlpOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand> out,
                                  const kernels::KernelTable& table, int threads) const {
  return table.gated_mlp_scratch(args(in, out[0]), threads);
}

void GatedMlpOp::run(const KernelCall& call) const {
  call.table.gated_mlp(args(call.inputs, call.outputs[0]), call.team);
}

void GatedMlpOp::reference(const ReferenceCall&) const {
  throw Error("gated_mlp: a packed weight has no fp64 reference");
}

}  // namespace ashlar::graph
