#include "ashlar/graph/ops/grouped_linear.h"

#include "ashlar/graph/gradient.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/grouped_gemm.h"
#include "ashlar/kernels/ref/gemm.h"

#include <cstring>

namespace ashlar::graph {
namespace {

using kernels::GemmArgs;
namespace ref = kernels::ref;

// Rows of a matrix, or one expert's matrix, from an element on.
std::byte* at(const Operand& operand, int64_t element) {
  return operand.data == nullptr ? nullptr : operand.data + element * size_of(operand.dtype);
}

// The three products of an expert, as functions of its rows.
struct Forward {
  const Operand &x, &weight, &y;
  PackedWeight packed;
  GemmArgs operator()(int64_t expert, int64_t first_row, int64_t rows) const {
    const int64_t n = y.shape[1], k = x.shape[1];
    GemmArgs args;
    args.m = rows;
    args.n = n;
    args.r = k;
    args.a = {at(x, first_row * k), x.dtype, k, 1};
    if (packed) {
      packed.put(weight, args, expert);
    } else {
      args.b = {at(weight, expert * n * k), weight.dtype, 1, k};
    }
    args.c = at(y, first_row * n);
    args.c_dtype = y.dtype;
    args.c_stride = n;
    return args;
  }
};

struct InputGrad {
  const Operand &d_y, &weight, &residual, &d_x;
  GemmArgs operator()(int64_t expert, int64_t first_row, int64_t rows) const {
    const int64_t n = weight.shape[1], k = weight.shape[2];
    GemmArgs args;
    args.m = rows;
    args.n = k;
    args.r = n;
    args.a = {at(d_y, first_row * n), d_y.dtype, n, 1};
    args.b = {at(weight, expert * n * k), weight.dtype, k, 1};
    args.c = at(d_x, first_row * k);
    args.c_dtype = d_x.dtype;
    args.c_stride = k;
    if (residual.present) {
      args.residual = at(residual, first_row * k);
      args.residual_stride = k;
    }
    return args;
  }
};

struct WeightGrad {
  const Operand &d_y, &x, &grad;
  bool overwrite;
  GemmArgs operator()(int64_t expert, int64_t first_row, int64_t rows) const {
    const int64_t n = grad.shape[1], k = grad.shape[2];
    GemmArgs args;
    args.m = rows == 0 && !overwrite ? 0 : n;  // nothing to add: not even touched
    args.n = k;
    args.r = rows;
    args.a = {at(d_y, first_row * n), d_y.dtype, 1, n};
    args.b = {at(x, first_row * k), x.dtype, k, 1};
    args.c = at(grad, expert * n * k);
    args.c_dtype = grad.dtype;
    args.c_stride = k;
    args.accumulate = !overwrite;
    return args;
  }
};

template <typename Product>
void run_products(const KernelCall& call, const Operand& offsets, int64_t rows,
                  const Product& product) {
  kernels::grouped_gemm(call.table, call.team, offsets.as<int32_t>(), offsets.shape[0] - 1, rows,
                        product);
}

// Rows that no expert owns.
void clear_beyond(const Operand& offsets, const Operand& y) {
  const int64_t used = offsets.as<int32_t>()[offsets.shape[0] - 1], width = y.shape[1];
  std::memset(at(y, used * width), 0,
              static_cast<size_t>((y.shape[0] - used) * width * size_of(y.dtype)));
}

// f(expert, its rows as [begin, end)).
template <typename F>
void for_each_expert(const Operand& offsets, const F& f) {
  const int32_t* start = offsets.as<int32_t>();
  for (int64_t e = 0; e + 1 < offsets.shape[0]; ++e) f(e, start[e], start[e + 1]);
}

// Before a run nobody knows how many rows there will be: the usual share of as many as fit.
double rows_of(const Operand& offsets, const Operand& x, RowShare share) {
  if (offsets.data == nullptr) return share.used * static_cast<double>(x.shape[0]);
  return static_cast<double>(offsets.as<int32_t>()[offsets.shape[0] - 1]);
}

// Experts that are used evenly have together as many rows as the tokens of a rank: `whole`.
std::optional<RowShare> row_share(const LocalSite& site) {
  const Dim rows = site.inputs[0].shape[0], whole = site.whole[0].shape[0];
  const auto size = [](const Dim& dim) {
    return static_cast<double>(dim.fixed() ? dim.offset : dim.factor);
  };
  if (site.mesh.size("expert") == 1) return std::nullopt;
  return RowShare{size(whole) / size(rows)};
}

double product_flops(double rows, int64_t outputs, int64_t inputs) {
  return 2 * rows * static_cast<double>(outputs * inputs);
}

// The inputs K of a weight [E,N,K].
AxisPlacement inner() { return AxisPlacement::split(2); }

void check_groups(std::string_view op, const ValueType& weight, const ValueType& offsets,
                  bool packed = false) {
  check_rank(op, "weight", weight, packed ? 2 : 3);
  const Dim experts = weight.shape[0];
  check_type(op, "offsets", offsets, {DType::kI32, {experts.offset + 1}});
}

}  // namespace

// ---------------------------------------------------------------- forward
std::string GroupedLinearOp::attributes() const { return packed_ ? packed_.str() : ""; }

std::vector<ValueType> GroupedLinearOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, kInputs);
  check_rank(kind(), "x", in[kX], 2);
  check_groups(kind(), in[kWeight], in[kOffsets], bool(packed_));
  if (packed_) return {{in[kX].dtype, {in[kX].shape[0], packed_.outputs}}};
  ASHLAR_CHECK(in[kX].shape[1] == in[kWeight].shape[2],
               "grouped_linear: inner dims differ: x is {}, weight is {}", in[kX].str(),
               in[kWeight].str());
  return {{in[kX].dtype, {in[kX].shape[0], in[kWeight].shape[1]}}};
}

void GroupedLinearOp::gradient(GradientContext& context) const {
  const ValueId d_y = context.grad(0), offsets = context.input(kOffsets);
  if (context.wants(kX)) {
    context.set(kX,
                context.apply(std::make_shared<GroupedLinearInputGradOp>(),
                              {d_y, context.input(kWeight), offsets, ValueId{}}, "input_grad")[0]);
  }
  if (context.wants(kWeight)) {
    context.add_to_parameter(
        kWeight, [](bool first) { return std::make_shared<GroupedLinearWeightGradOp>(first); },
        {d_y, context.input(kX), offsets}, "weight_grad");
  }
}

Cost GroupedLinearOp::cost(std::span<const Operand> in, std::span<const Operand> out) const {
  return {product_flops(rows_of(in[kOffsets], in[kX], share_), out[0].shape[1], in[kX].shape[1]),
          Op::cost(in, out).bytes};
}

int64_t GroupedLinearOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand> out,
                                       const kernels::KernelTable& table, int threads) const {
  ASHLAR_CHECK(packed_ || !is_block(in[kWeight].dtype),
               "grouped_linear: weights of {} can only be multiplied when packed",
               ashlar::name(in[kWeight].dtype));
  return kernels::grouped_gemm_scratch(table, threads, in[kX].shape[0],
                                       Forward{in[kX], in[kWeight], out[0], packed_});
}

void GroupedLinearOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs;
  const Operand& y = call.outputs[0];
  run_products(call, in[kOffsets], in[kX].shape[0], Forward{in[kX], in[kWeight], y, packed_});
  clear_beyond(in[kOffsets], y);
}

void GroupedLinearOp::reference(const ReferenceCall& call) const {
  ASHLAR_CHECK(!packed_, "grouped_linear: packed weights have no fp64 reference");
  const std::span<const Operand> in = call.inputs;
  const Operand& y = call.outputs[0];
  const int64_t n = in[kWeight].shape[1], k = in[kWeight].shape[2];
  for_each_expert(in[kOffsets], [&](int64_t e, int64_t begin, int64_t end) {
    ref::GemmArgs args;
    args.m = end - begin;
    args.n = n;
    args.r = k;
    args.a = {in[kX].as<double>() + begin * k, k, 1};
    args.b = {in[kWeight].as<double>() + e * n * k, 1, k};
    args.c = y.as<double>() + begin * n;
    args.c_stride = n;
    ref::gemm(args);
  });
  clear_beyond(in[kOffsets], y);
}

// By tokens, where offsets are terms; by experts, where each rank has those of its own; by outputs
// and by inputs of every expert.
std::vector<AxisStrategy> GroupedLinearOp::strategies(const AxisSite&) const {
  if (packed_) return {};
  return {{{rows(), whole(), term()}, {rows()}},
          {{rows(), rows(), rows()}, {rows()}},
          {{whole(), columns(), whole()}, {columns()}},
          {{columns(), inner(), whole()}, {term()}}};
}

std::shared_ptr<const Op> GroupedLinearOp::local(const LocalSite& site) const {
  const auto share = row_share(site);
  return share ? std::make_shared<GroupedLinearOp>(packed_, *share) : nullptr;
}

// ---------------------------------------------------------------- input gradient
std::vector<ValueType> GroupedLinearInputGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, kInputs);
  check_rank(kind(), "d_y", in[kDy], 2);
  check_groups(kind(), in[kWeight], in[kOffsets]);
  ASHLAR_CHECK(in[kDy].shape[1] == in[kWeight].shape[1],
               "grouped_linear_input_grad: dims differ: d_y is {}, weight is {}", in[kDy].str(),
               in[kWeight].str());
  const ValueType d_x{in[kDy].dtype, {in[kDy].shape[0], in[kWeight].shape[2]}};
  if (in[kResidual].present) check_type(kind(), "residual", in[kResidual], d_x);
  return {d_x};
}

Cost GroupedLinearInputGradOp::cost(std::span<const Operand> in,
                                    std::span<const Operand> out) const {
  return {product_flops(rows_of(in[kOffsets], in[kDy], share_), in[kDy].shape[1], out[0].shape[1]),
          Op::cost(in, out).bytes};
}

int64_t GroupedLinearInputGradOp::scratch_bytes(std::span<const Operand> in,
                                                std::span<const Operand> out,
                                                const kernels::KernelTable& table,
                                                int threads) const {
  return kernels::grouped_gemm_scratch(table, threads, in[kDy].shape[0],
                                       InputGrad{in[kDy], in[kWeight], in[kResidual], out[0]});
}

void GroupedLinearInputGradOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs;
  const Operand& d_x = call.outputs[0];
  run_products(call, in[kOffsets], in[kDy].shape[0],
               InputGrad{in[kDy], in[kWeight], in[kResidual], d_x});
  clear_beyond(in[kOffsets], d_x);
}

void GroupedLinearInputGradOp::reference(const ReferenceCall& call) const {
  const std::span<const Operand> in = call.inputs;
  const Operand& d_x = call.outputs[0];
  const int64_t n = in[kWeight].shape[1], k = in[kWeight].shape[2];
  for_each_expert(in[kOffsets], [&](int64_t e, int64_t begin, int64_t end) {
    ref::GemmArgs args;
    args.m = end - begin;
    args.n = k;
    args.r = n;
    args.a = {in[kDy].as<double>() + begin * n, n, 1};
    args.b = {in[kWeight].as<double>() + e * n * k, k, 1};
    args.c = d_x.as<double>() + begin * k;
    args.c_stride = k;
    if (in[kResidual].present) {
      args.residual = in[kResidual].as<double>() + begin * k;
      args.residual_stride = k;
    }
    ref::gemm(args);
  });
  clear_beyond(in[kOffsets], d_x);
}

std::vector<AxisStrategy> GroupedLinearInputGradOp::strategies(const AxisSite&) const {
  return {{{rows(), whole(), term(), rows()}, {rows()}},
          {{rows(), rows(), rows(), rows()}, {rows()}},
          {{columns(), columns(), whole(), term()}, {term()}},
          {{whole(), inner(), whole(), columns()}, {columns()}}};
}

std::shared_ptr<const Op> GroupedLinearInputGradOp::local(const LocalSite& site) const {
  const auto share = row_share(site);
  return share ? std::make_shared<GroupedLinearInputGradOp>(*share) : nullptr;
}

// ---------------------------------------------------------------- weight gradient
std::vector<ValueType> GroupedLinearWeightGradOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, kInputs);
  check_rank(kind(), "d_y", in[kDy], 2);
  check_rank(kind(), "x", in[kX], 2);
  ASHLAR_CHECK(in[kDy].shape[0] == in[kX].shape[0],
               "grouped_linear_weight_grad: rows differ: d_y is {}, x is {}", in[kDy].str(),
               in[kX].str());
  check_groups(kind(), in[kGrad], in[kOffsets]);
  check_shape(kind(), "grad", in[kGrad], {in[kGrad].shape[0], in[kDy].shape[1], in[kX].shape[1]});
  return {in[kGrad]};
}

Cost GroupedLinearWeightGradOp::cost(std::span<const Operand> in,
                                     std::span<const Operand> out) const {
  return {product_flops(rows_of(in[kOffsets], in[kX], share_), in[kDy].shape[1], in[kX].shape[1]),
          Op::cost(in, out).bytes};
}

int64_t GroupedLinearWeightGradOp::scratch_bytes(std::span<const Operand> in,
                                                 std::span<const Operand> out,
                                                 const kernels::KernelTable& table,
                                                 int threads) const {
  return kernels::grouped_gemm_scratch(table, threads, in[kX].shape[0],
                                       WeightGrad{in[kDy], in[kX], out[0], false});
}

void GroupedLinearWeightGradOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs;
  run_products(call, in[kOffsets], in[kX].shape[0],
               WeightGrad{in[kDy], in[kX], call.outputs[0], first_ && call.state.first_microbatch});
}

void GroupedLinearWeightGradOp::reference(const ReferenceCall& call) const {
  const std::span<const Operand> in = call.inputs;
  const Operand& grad = call.outputs[0];
  const int64_t n = grad.shape[1], k = grad.shape[2];
  for_each_expert(in[kOffsets], [&](int64_t e, int64_t begin, int64_t end) {
    ref::GemmArgs args;
    args.m = n;
    args.n = k;
    args.r = end - begin;
    args.a = {in[kDy].as<double>() + begin * n, 1, n};
    args.b = {in[kX].as<double>() + begin * k, k, 1};
    args.c = grad.as<double>() + e * n * k;
    args.c_stride = k;
    args.accumulate = !(first_ && call.state.first_microbatch);
    ref::gemm(args);
  });
}

std::vector<AxisStrategy> GroupedLinearWeightGradOp::strategies(const AxisSite&) const {
  return {{{rows(), rows(), term(), term()}, {term()}},
          {{rows(), rows(), rows(), rows()}, {rows()}},
          {{columns(), whole(), whole(), columns()}, {columns()}},
          {{whole(), columns(), whole(), inner()}, {inner()}}};
}

std::shared_ptr<const Op> GroupedLinearWeightGradOp::local(const LocalSite& site) const {
  const auto share = row_share(site);
  return share ? std::make_shared<GroupedLinearWeightGradOp>(first_, *share) : nullptr;
}

ValueId grouped_linear(Builder& b, ValueId x, ValueId weight, ValueId offsets,
                       const std::string& name) {
  return b.apply1(std::make_shared<GroupedLinearOp>(), {x, weight, offsets}, name);
}

}  // namespace ashlar::graph
