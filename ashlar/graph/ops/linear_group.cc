#include "ashlar/graph/ops/linear_group.h"

#include "ashlar/base/error.h"
#include "ashlar/graph/ops/row_norm.h"
#include "ashlar/graph/ops/shape_rules.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

namespace ashlar::graph {

std::string LinearGroupOp::attributes() const {
  std::vector<std::string> parts;
  for (const PackedWeight& weight : weights_) parts.push_back(weight.str());
  if (norm_) parts.push_back(row_norm_text(*norm_));
  return fmt::format("{}", fmt::join(parts, ", "));
}

std::vector<ValueType> LinearGroupOp::infer(std::span<const ValueType> in) const {
  ASHLAR_CHECK(!weights_.empty() && weights_.size() <= kernels::kMostProducts,
               "linear_group: {} products, 1 to {} are wanted", weights_.size(),
               kernels::kMostProducts);
  check_inputs(kind(), in, static_cast<int>(norm_input() + (norm_ ? 2 : 0)));
  check_rank(kind(), "x", in[kX], 2);
  ASHLAR_CHECK(in[kX].dtype == DType::kF32, "linear_group: x is {}, f32 is wanted", in[kX].str());
  if (norm_) check_row_norm(kind(), in[kX], in[norm_input()], in[norm_input() + 1]);
  std::vector<ValueType> outputs;
  for (size_t i = 0; i < weights_.size(); ++i) {
    const PackedWeight& weight = weights_[i];
    ASHLAR_CHECK(kernels::multiplies(weight.format),
                 "linear_group: a weight of {} is not of blocks", ashlar::name(weight.format));
    check_rank(kind(), "weight", in[weight_input(i)], 1);
    const Dim outer(weight.outputs);
    const ValueType& bias = in[bias_input(i)];
    if (bias.present) check_type(kind(), "bias", bias, {DType::kF32, {outer}});
    outputs.push_back({DType::kF32, {in[kX].shape[0], outer}});
  }
  return outputs;
}

Cost LinearGroupOp::cost(std::span<const Operand> in, std::span<const Operand> out) const {
  Cost cost = Op::cost(in, out);
  for (const Operand& y : out) {
    cost.flops +=
        2 * static_cast<double>(y.shape.elements()) * static_cast<double>(in[kX].shape[1]);
  }
  return cost;
}

std::vector<kernels::GemmArgs> LinearGroupOp::args(std::span<const Operand> in,
                                                   std::span<const Operand> out) const {
  const Operand& x = in[kX];
  std::vector<kernels::GemmArgs> all;
  for (size_t i = 0; i < weights_.size(); ++i) {
    kernels::GemmArgs& args = all.emplace_back();
    args.m = x.shape[0];
    args.n = weights_[i].outputs;
    args.r = x.shape[1];
    args.a = {x.data, x.dtype, x.shape[1], 1};
    weights_[i].put(in[weight_input(i)], args);
    args.c = out[i].data;
    args.c_stride = args.n;
    if (const Operand& bias = in[bias_input(i)]; bias.present) args.bias = bias.as<float>();
    if (norm_) args.norm = row_norm(*norm_, in[norm_input()], in[norm_input() + 1]);
  }
  return all;
}

int64_t LinearGroupOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand> out,
                                     const kernels::KernelTable& table, int threads) const {
  const std::vector<kernels::GemmArgs> products = args(in, out);
  return table.gemm_group_scratch(products.data(), static_cast<int>(products.size()), threads);
}

void LinearGroupOp::run(const KernelCall& call) const {
  const std::vector<kernels::GemmArgs> products = args(call.inputs, call.outputs);
  call.table.gemm_group(products.data(), static_cast<int>(products.size()), call.team);
}

void LinearGroupOp::reference(const ReferenceCall&) const {
  throw Error("linear_group: a packed weight has no fp64 reference");
}

}  // namespace ashlar::graph
