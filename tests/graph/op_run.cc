#include "tests/graph/op_run.h"

#include <algorithm>

namespace ashlar::graph {
namespace {

std::vector<Tensor> outputs_of(const Op& op, const std::vector<Tensor>& inputs, bool f64) {
  std::vector<ValueType> types;
  for (const Tensor& x : inputs) {
    types.push_back({x.dtype() == DType::kF64 ? DType::kF32 : x.dtype(), SymShape(x.shape())});
  }
  std::vector<Tensor> outputs;
  for (const ValueType& type : op.infer(types)) {
    outputs.emplace_back(f64 && is_float(type.dtype) ? DType::kF64 : type.dtype,
                         type.shape.bind({}));
    // What an op leaves unwritten is seen.
    std::fill_n(outputs.back().data(), outputs.back().bytes(), std::byte{0xff});
  }
  return outputs;
}

std::vector<Operand> operands(std::vector<Tensor>& tensors) {
  std::vector<Operand> result;
  for (Tensor& x : tensors) result.push_back({x.data(), x.dtype(), x.shape()});
  return result;
}

}  // namespace

std::vector<Tensor> run_op(const Op& op, std::vector<Tensor> inputs,
                           const kernels::KernelTable& table, kernels::TestTeam& team,
                           const OpRun& run) {
  std::vector<Tensor> outputs = outputs_of(op, inputs, false);
  const std::vector<Operand> in = operands(inputs), out = operands(outputs);
  const int64_t scratch = op.scratch_bytes(in, out, table, team.threads());
  op.run({table, team.with_scratch(scratch), in, out, run.state, run.comm});
  return outputs;
}

std::vector<Tensor> run_op_f64(const Op& op, std::vector<Tensor> inputs, const OpRun& run) {
  std::vector<Tensor> outputs = outputs_of(op, inputs, true);
  const std::vector<Operand> in = operands(inputs), out = operands(outputs);
  op.reference({in, out, run.state, run.comm});
  return outputs;
}

int64_t scratch_of(const Op& op, std::vector<Tensor> inputs, const kernels::KernelTable& table,
                   int threads) {
  std::vector<Tensor> outputs = outputs_of(op, inputs, false);
  return op.scratch_bytes(operands(inputs), operands(outputs), table, threads);
}

Tensor floats(DType dtype, Shape shape, const std::vector<float>& values) {
  Tensor wide(DType::kF32, shape);
  std::ranges::copy(values, wide.as<float>());
  return wide.to(dtype);
}

Tensor ints(const std::vector<int32_t>& values) {
  Tensor x(DType::kI32, Shape{static_cast<int64_t>(values.size())});
  std::ranges::copy(values, x.as<int32_t>());
  return x;
}

std::vector<double> doubles(const Tensor& x) {
  const Tensor wide = x.to(DType::kF64);
  const auto values = wide.span<double>();
  return {values.begin(), values.end()};
}

}  // namespace ashlar::graph
