#include "ashlar/graph/ops/moe_rows.h"

#include "ashlar/graph/gradient.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/ref/moe.h"

namespace ashlar::graph {
namespace {

namespace ref = kernels::ref;

void check_map(std::string_view op, std::string_view what, const ValueType& map, int rank) {
  check_rank(op, what, map, rank);
  check_dtype(op, what, map, DType::kI32);
}

template <typename T>
const T* data_or_null(const Operand& operand) {
  return operand.present ? operand.as<T>() : nullptr;
}

kernels::MoeDispatchArgs dispatch_args(const Operand& x, const Operand& weights, int64_t top_k,
                                       const Operand& sources, const Operand& rows) {
  return {.rows = rows.shape[0],
          .width = rows.shape[1],
          .top_k = top_k,
          .dtype = rows.dtype,
          .x = x.data,
          .sources = sources.as<int32_t>(),
          .weights = data_or_null<float>(weights),
          .y = rows.data};
}

ref::MoeRowsArgs reference_dispatch_args(const Operand& x, const Operand& weights, int64_t top_k,
                                         const Operand& sources, const Operand& rows) {
  return {.rows = rows.shape[0],
          .width = rows.shape[1],
          .top_k = top_k,
          .x = x.as<double>(),
          .sources = sources.as<int32_t>(),
          .weights = data_or_null<double>(weights),
          .y = rows.as<double>()};
}

// A rank's rows are those of its own tokens (of its own experts' tokens, where expert ranks have
// exchanged them: moe_exchange.h). Beside that a sum over rows is a sum over terms of rows.
std::vector<AxisStrategy> row_strategies(const AxisSite& site, size_t inputs,
                                         std::initializer_list<int> terms) {
  if (site.axis != "tensor") return {alike(inputs, 1, rows())};
  AxisStrategy sums{std::vector<AxisPlacement>(inputs, whole()), {term()}};
  for (const int input : terms) sums.inputs[static_cast<size_t>(input)] = term();
  return terms.size() == 0 ? std::vector<AxisStrategy>{} : std::vector<AxisStrategy>{sums};
}

const Operand kAbsent{.shape = Shape{0}, .present = false};

}  // namespace

// ---------------------------------------------------------------- dispatch
std::vector<ValueType> MoeDispatchOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 3);
  check_rank(kind(), "x", in[0], 2);
  check_map(kind(), "slots", in[1], 2);
  check_shape(kind(), "slots", in[1], {in[0].shape[0], in[1].shape[1]});
  check_map(kind(), "sources", in[2], 1);
  return {{in[0].dtype, {in[2].shape[0], in[0].shape[1]}}};
}

void MoeDispatchOp::gradient(GradientContext& context) const {
  if (!context.wants(0)) return;
  context.set(
      0, context.apply(std::make_shared<MoeCombineOp>(),
                       {context.grad(0), ValueId{}, context.input(1), context.input(2), ValueId{}},
                       "grad")[0]);
}

void MoeDispatchOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs;
  call.table.moe_dispatch(dispatch_args(in[0], kAbsent, in[1].shape[1], in[2], call.outputs[0]),
                          call.team);
}

void MoeDispatchOp::reference(const ReferenceCall& call) const {
  const std::span<const Operand> in = call.inputs;
  ref::moe_dispatch(
      reference_dispatch_args(in[0], kAbsent, in[1].shape[1], in[2], call.outputs[0]));
}

std::vector<AxisStrategy> MoeDispatchOp::strategies(const AxisSite& site) const {
  return row_strategies(site, 3, {});
}

// ---------------------------------------------------------------- combine
std::vector<ValueType> MoeCombineOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, kInputs);
  check_rank(kind(), "rows", in[kRows], 2);
  check_map(kind(), "slots", in[kSlots], 2);
  check_map(kind(), "sources", in[kSources], 1);
  check_shape(kind(), "sources", in[kSources], {in[kRows].shape[0]});
  if (in[kWeights].present) {
    check_type(kind(), "weights", in[kWeights], {DType::kF32, in[kSlots].shape});
  }
  const ValueType y{in[kRows].dtype, {in[kSlots].shape[0], in[kRows].shape[1]}};
  if (in[kResidual].present) check_type(kind(), "residual", in[kResidual], y);
  return {y};
}

void MoeCombineOp::gradient(GradientContext& context) const {
  const ValueId d_y = context.grad(0);
  const ValueId weights = context.input(kWeights), slots = context.input(kSlots);
  ASHLAR_CHECK(weights.valid(), "moe_combine {}: not differentiable without weights",
               context.node().name);
  if (context.wants(kResidual)) context.set(kResidual, d_y);
  if (context.wants(kRows)) {
    context.set(kRows, context.apply(std::make_shared<MoeCombineRowsGradOp>(),
                                     {d_y, weights, context.input(kSources)}, "rows_grad")[0]);
  }
  if (context.wants(kWeights)) {
    context.set(kWeights, context.apply(std::make_shared<MoeCombineWeightsGradOp>(),
                                        {d_y, context.input(kRows), slots}, "weights_grad")[0]);
  }
}

void MoeCombineOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs;
  const Operand& y = call.outputs[0];
  call.table.moe_combine({.rows = y.shape[0],
                          .width = y.shape[1],
                          .top_k = in[kSlots].shape[1],
                          .dtype = y.dtype,
                          .x = in[kRows].data,
                          .slots = in[kSlots].as<int32_t>(),
                          .weights = data_or_null<float>(in[kWeights]),
                          .residual = data_or_null<std::byte>(in[kResidual]),
                          .y = y.data},
                         call.team);
}

void MoeCombineOp::reference(const ReferenceCall& call) const {
  const std::span<const Operand> in = call.inputs;
  const Operand& y = call.outputs[0];
  ref::moe_combine({.tokens = y.shape[0],
                    .width = y.shape[1],
                    .top_k = in[kSlots].shape[1],
                    .x = in[kRows].as<double>(),
                    .slots = in[kSlots].as<int32_t>(),
                    .weights = data_or_null<double>(in[kWeights]),
                    .residual = data_or_null<double>(in[kResidual]),
                    .y = y.as<double>()});
}

std::vector<AxisStrategy> MoeCombineOp::strategies(const AxisSite& site) const {
  return row_strategies(site, kInputs, {kRows, kResidual});
}

// ---------------------------------------------------------------- gradients of combine
std::vector<ValueType> MoeCombineRowsGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 3);
  check_rank(kind(), "d_y", in[0], 2);
  check_rank(kind(), "weights", in[1], 2);
  check_type(kind(), "weights", in[1], {DType::kF32, {in[0].shape[0], in[1].shape[1]}});
  check_map(kind(), "sources", in[2], 1);
  return {{in[0].dtype, {in[2].shape[0], in[0].shape[1]}}};
}

void MoeCombineRowsGradOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs;
  call.table.moe_dispatch(dispatch_args(in[0], in[1], in[1].shape[1], in[2], call.outputs[0]),
                          call.team);
}

void MoeCombineRowsGradOp::reference(const ReferenceCall& call) const {
  const std::span<const Operand> in = call.inputs;
  ref::moe_dispatch(reference_dispatch_args(in[0], in[1], in[1].shape[1], in[2], call.outputs[0]));
}

std::vector<AxisStrategy> MoeCombineRowsGradOp::strategies(const AxisSite& site) const {
  return row_strategies(site, 3, {});
}

std::vector<ValueType> MoeCombineWeightsGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 3);
  check_rank(kind(), "d_y", in[0], 2);
  check_rank(kind(), "rows", in[1], 2);
  check_type(kind(), "rows", in[1], {in[0].dtype, {in[1].shape[0], in[0].shape[1]}});
  check_map(kind(), "slots", in[2], 2);
  return {{DType::kF32, in[2].shape}};
}

void MoeCombineWeightsGradOp::run(const KernelCall& call) const {
  const Operand& d_y = call.inputs[0];
  const Operand& slots = call.inputs[2];
  call.table.moe_weight_grad(
      {d_y.shape[0], d_y.shape[1], slots.shape[1], d_y.dtype, call.inputs[1].data,
       slots.as<int32_t>(), d_y.data, call.outputs[0].as<float>()},
      call.team);
}

void MoeCombineWeightsGradOp::reference(const ReferenceCall& call) const {
  const Operand& d_y = call.inputs[0];
  const Operand& slots = call.inputs[2];
  ref::moe_weight_grad({.tokens = d_y.shape[0],
                        .width = d_y.shape[1],
                        .top_k = slots.shape[1],
                        .x = call.inputs[1].as<double>(),
                        .slots = slots.as<int32_t>(),
                        .d_y = d_y.as<double>(),
                        .y = call.outputs[0].as<double>()});
}

std::vector<AxisStrategy> MoeCombineWeightsGradOp::strategies(const AxisSite& site) const {
  return row_strategies(site, 3, {1});
}

// ---------------------------------------------------------------- builders
ValueId moe_dispatch(Builder& b, ValueId x, ValueId slots, ValueId sources,
                     const std::string& name) {
  return b.apply1(std::make_shared<MoeDispatchOp>(), {x, slots, sources}, name);
}

ValueId moe_combine(Builder& b, ValueId rows, ValueId weights, ValueId slots, ValueId sources,
                    ValueId residual, const std::string& name) {
  return b.apply1(std::make_shared<MoeCombineOp>(), {rows, weights, slots, sources, residual},
                  name);
}

}  // namespace ashlar::graph
