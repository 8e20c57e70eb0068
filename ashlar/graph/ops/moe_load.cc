#include "ashlar/graph/ops/moe_load.h"

#include "ashlar/graph/gradient.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/ref/moe.h"

#include <numeric>

namespace ashlar::graph {
namespace {

namespace ref = kernels::ref;

void check_load(std::string_view op, std::string_view what, const ValueType& load,
                const Dim& experts) {
  check_type(op, what, load, {DType::kF64, {2, experts}});
}

template <typename Args, typename Number>
Args load_args(std::span<const Operand> in, const Operand& load) {
  Args args;
  args.rows = in[0].shape[0];
  args.experts = in[0].shape[1];
  args.top_k = in[1].shape[1];
  args.logits = in[0].as<Number>();
  args.chosen = in[1].as<int32_t>();
  if (in[2].present) args.so_far = in[2].as<double>();
  args.load = load.as<double>();
  return args;
}

// E / n^2, n the tokens behind the load: balance = E / n^2 sum_e counts_e sums_e.
double balance_factor(const Operand& load, int64_t top_k) {
  const int64_t experts = load.shape[1];
  const double* counts = load.as<double>();
  const double tokens = std::accumulate(counts, counts + experts, 0.0) / static_cast<double>(top_k);
  return tokens > 0 ? static_cast<double>(experts) / (tokens * tokens) : 0;
}

void balance(const Operand& load, double scale, int64_t top_k, double* result) {
  const int64_t experts = load.shape[1];
  const double* counts = load.as<double>();
  const double product = std::inner_product(counts, counts + experts, counts + experts, 0.0);
  *result = scale * balance_factor(load, top_k) * product;
}

void balance_grad(const Operand& load, double scale, const BalanceSpec& spec, double* d_load) {
  const int64_t experts = load.shape[1];
  const double factor = spec.coefficient * scale * balance_factor(load, spec.top_k);
  for (int64_t e = 0; e < experts; ++e) {
    d_load[e] = 0;
    d_load[experts + e] = factor * load.as<double>()[e];
  }
}

std::string text_of(const BalanceSpec& spec) {
  return fmt::format("top_k={} coefficient={}", spec.top_k, spec.coefficient);
}

void check_balance(std::string_view op, std::span<const ValueType> in) {
  check_inputs(op, in, 2);
  check_rank(op, "load", in[0], 2);
  check_load(op, "load", in[0], in[0].shape[1]);
  check_type(op, "scale", in[1], {DType::kF32, {1}});
}

}  // namespace

// ---------------------------------------------------------------- load
std::vector<ValueType> MoeLoadOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 3);
  check_rank(kind(), "logits", in[0], 2);
  check_dtype(kind(), "logits", in[0], DType::kF32);
  check_rank(kind(), "experts", in[1], 2);
  check_type(kind(), "experts", in[1], {DType::kI32, {in[0].shape[0], in[1].shape[1]}});
  const Dim experts = in[0].shape[1];
  if (in[2].present) check_load(kind(), "load so far", in[2], experts);
  return {{DType::kF64, {2, experts}}};
}

void MoeLoadOp::gradient(GradientContext& context) const {
  const ValueId d_load = context.grad(0);
  if (context.wants(0)) {
    context.set(
        0, context.apply(std::make_shared<MoeLoadGradOp>(), {context.input(0), d_load}, "grad")[0]);
  }
  if (context.wants(2)) context.set(2, d_load);
}

void MoeLoadOp::run(const KernelCall& call) const {
  call.table.moe_load(load_args<kernels::MoeLoadArgs, float>(call.inputs, call.outputs[0]),
                      call.team);
}

void MoeLoadOp::reference(const ReferenceCall& call) const {
  ref::moe_load(load_args<ref::MoeLoadArgs, double>(call.inputs, call.outputs[0]));
}

std::vector<AxisStrategy> MoeLoadOp::strategies(const AxisSite&) const {
  return {{{rows(), rows(), term()}, {term()}}};
}

std::vector<ValueType> MoeLoadGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 2);
  check_rank(kind(), "logits", in[0], 2);
  check_load(kind(), "d_load", in[1], in[0].shape[1]);
  return {in[0]};
}

void MoeLoadGradOp::run(const KernelCall& call) const {
  const Operand& logits = call.inputs[0];
  call.table.moe_load_grad({logits.shape[0], logits.shape[1], logits.as<float>(),
                            call.inputs[1].as<double>(), call.outputs[0].as<float>()},
                           call.team);
}

void MoeLoadGradOp::reference(const ReferenceCall& call) const {
  const Operand& logits = call.inputs[0];
  ref::moe_load_grad({logits.shape[0], logits.shape[1], logits.as<double>(),
                      call.inputs[1].as<double>(), call.outputs[0].as<double>()});
}

std::vector<AxisStrategy> MoeLoadGradOp::strategies(const AxisSite&) const {
  return {{{rows(), whole()}, {rows()}}};
}

// ---------------------------------------------------------------- balance
std::string MoeBalanceOp::attributes() const { return text_of(spec_); }

std::vector<ValueType> MoeBalanceOp::infer(std::span<const ValueType> in) const {
  check_balance(kind(), in);
  return {{DType::kF64, {1}}};
}

void MoeBalanceOp::gradient(GradientContext& context) const {
  if (!context.wants(0)) return;
  context.set(0, context.apply(std::make_shared<MoeBalanceGradOp>(spec_),
                               {context.input(0), context.input(1)}, "grad")[0]);
}

void MoeBalanceOp::run(const KernelCall& call) const {
  balance(call.inputs[0], static_cast<double>(*call.inputs[1].as<float>()), spec_.top_k,
          call.outputs[0].as<double>());
}

void MoeBalanceOp::reference(const ReferenceCall& call) const {
  balance(call.inputs[0], *call.inputs[1].as<double>(), spec_.top_k, call.outputs[0].as<double>());
}

std::string MoeBalanceGradOp::attributes() const { return text_of(spec_); }

std::vector<ValueType> MoeBalanceGradOp::infer(std::span<const ValueType> in) const {
  check_balance(kind(), in);
  return {in[0]};
}

void MoeBalanceGradOp::run(const KernelCall& call) const {
  balance_grad(call.inputs[0], static_cast<double>(*call.inputs[1].as<float>()), spec_,
               call.outputs[0].as<double>());
}

void MoeBalanceGradOp::reference(const ReferenceCall& call) const {
  balance_grad(call.inputs[0], *call.inputs[1].as<double>(), spec_, call.outputs[0].as<double>());
}

// ---------------------------------------------------------------- builders
ValueId moe_load(Builder& b, ValueId logits, ValueId experts, ValueId so_far,
                 const std::string& name) {
  return b.apply1(std::make_shared<MoeLoadOp>(), {logits, experts, so_far}, name);
}

ValueId moe_balance(Builder& b, ValueId load, ValueId scale, const BalanceSpec& spec,
                    const std::string& name) {
  return b.apply1(std::make_shared<MoeBalanceOp>(spec), {load, scale}, name);
}

}  // namespace ashlar::graph
