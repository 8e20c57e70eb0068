#include "ashlar/graph/ops/rows.h"

#include "ashlar/graph/gradient.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/graph/ops/vocabulary.h"
#include "ashlar/kernels/ref/rows.h"
#include "ashlar/tensor/tensor.h"

#include <algorithm>

namespace ashlar::graph {
namespace ref = kernels::ref;

std::string GatherRowsOp::attributes() const {
  const std::string out(ashlar::name(out_));
  return first_row_ == 0 ? out : fmt::format("{} first_row={}", out, first_row_);
}

std::vector<ValueType> GatherRowsOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 3);
  check_rank(kind(), "table", in[0], 2);
  check_rank(kind(), "ids", in[1], 1);
  check_dtype(kind(), "ids", in[1], DType::kI32);
  const ValueType y{out_, {in[1].shape[0], in[0].shape[1]}};
  if (in[2].present) check_type(kind(), "addend", in[2], y);
  return {y};
}

void GatherRowsOp::gradient(GradientContext& context) const {
  const ValueId d_y = context.grad(0);
  if (context.wants(2)) context.set(2, d_y);
  if (context.wants(0)) {
    context.add_to_parameter(
        0, [this](bool first) { return std::make_shared<ScatterAddRowsOp>(first, first_row_); },
        {context.input(1), d_y}, "weight_grad");
  }
}

Cost GatherRowsOp::cost(std::span<const Operand> in, std::span<const Operand> out) const {
  // Of the table only the rows named are read.
  const auto read = static_cast<double>(bytes_of(in[0].dtype, out[0].shape.elements()));
  return {0, read + operand_bytes(in.subspan(1)) + operand_bytes(out)};
}

// Of a table of quantised blocks.
void GatherRowsOp::run_blocks(const KernelCall& call) const {
  constexpr int64_t kStep = 1024;  // elements at a time, a multiple of every block
  const Operand& table = call.inputs[0];
  const Operand& add = call.inputs[2];
  const Operand& y = call.outputs[0];
  const int64_t width = y.shape[1];
  kernels::parallel_for(call.team, y.shape[0], [&](int64_t t, int) {
    const int64_t id = call.inputs[1].as<int32_t>()[t] - first_row_;
    const bool here = id >= 0 && id < table.shape[0];
    for (int64_t i = 0; i < width; i += kStep) {
      const int64_t count = std::min(kStep, width - i), at = (t * width + i) * size_of(y.dtype);
      float row[kStep] = {}, added[kStep] = {};
      if (here) {
        const std::byte* blocks = table.data + bytes_of(table.dtype, id * width + i);
        convert(table.dtype, blocks, DType::kF32, row, count);
      }
      // y may be where the addend is.
      if (add.present) convert(add.dtype, add.data + at, DType::kF32, added, count);
      for (int64_t j = 0; j < count; ++j) row[j] += added[j];
      convert(DType::kF32, row, y.dtype, y.data + at, count);
    }
  });
}

void GatherRowsOp::run(const KernelCall& call) const {
  const Operand& table = call.inputs[0];
  const Operand& y = call.outputs[0];
  if (is_block(table.dtype)) return run_blocks(call);
  kernels::GatherRowsArgs args;
  args.rows = y.shape[0];
  args.width = y.shape[1];
  args.table_rows = table.shape[0];
  args.first_row = first_row_;
  args.table_dtype = table.dtype;
  args.dtype = y.dtype;
  args.table = table.data;
  args.ids = call.inputs[1].as<int32_t>();
  if (call.inputs[2].present) args.add = call.inputs[2].data;
  args.y = y.data;
  call.table.gather_rows(args, call.team);
}

void GatherRowsOp::reference(const ReferenceCall& call) const {
  const Operand& y = call.outputs[0];
  ref::GatherRowsArgs args;
  args.rows = y.shape[0];
  args.width = y.shape[1];
  args.table_rows = call.inputs[0].shape[0];
  args.first_row = first_row_;
  args.table = call.inputs[0].as<double>();
  args.ids = call.inputs[1].as<int32_t>();
  if (call.inputs[2].present) args.add = call.inputs[2].as<double>();
  args.y = y.as<double>();
  ref::gather_rows(args);
}

std::vector<AxisStrategy> GatherRowsOp::strategies(const AxisSite&) const {
  return {{{whole(), rows(), rows()}, {rows()}}, {{rows(), whole(), term()}, {term()}}};
}

std::shared_ptr<const Op> GatherRowsOp::local(const LocalSite& site) const {
  const auto slice = vocabulary_slice(site, 0);
  return slice ? std::make_shared<GatherRowsOp>(out_, first_row_ + slice->rows.offset) : nullptr;
}

std::string ScatterAddRowsOp::attributes() const {
  const std::string_view first = first_ ? "first" : "";
  if (first_row_ == 0) return std::string(first);
  return fmt::format("{}{}first_row={}", first, first_ ? " " : "", first_row_);
}

std::vector<ValueType> ScatterAddRowsOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 3);
  check_rank(kind(), "d_y", in[1], 2);
  check_rank(kind(), "grad", in[2], 2);
  ASHLAR_CHECK(in[2].shape[1] == in[1].shape[1],
               "scatter_add_rows: widths differ: d_y is {}, grad is {}", in[1].str(), in[2].str());
  return {in[2]};
}

void ScatterAddRowsOp::run(const KernelCall& call) const {
  const Operand& d_y = call.inputs[1];
  const Operand& grad = call.outputs[0];
  kernels::ScatterAddRowsArgs args;
  args.rows = d_y.shape[0];
  args.width = d_y.shape[1];
  args.table_rows = grad.shape[0];
  args.first_row = first_row_;
  args.dtype = d_y.dtype;
  args.ids = call.inputs[0].as<int32_t>();
  args.d_y = d_y.data;
  args.table_dtype = grad.dtype;
  args.d_table = grad.data;
  args.accumulate = !(first_ && call.state.first_microbatch);
  call.table.scatter_add_rows(args, call.team);
}

void ScatterAddRowsOp::reference(const ReferenceCall& call) const {
  const Operand& d_y = call.inputs[1];
  ref::ScatterAddRowsArgs args;
  args.rows = d_y.shape[0];
  args.width = d_y.shape[1];
  args.table_rows = call.outputs[0].shape[0];
  args.first_row = first_row_;
  args.ids = call.inputs[0].as<int32_t>();
  args.d_y = d_y.as<double>();
  args.d_table = call.outputs[0].as<double>();
  args.accumulate = !(first_ && call.state.first_microbatch);
  ref::scatter_add_rows(args);
}

std::vector<AxisStrategy> ScatterAddRowsOp::strategies(const AxisSite&) const {
  return {{{rows(), rows(), term()}, {term()}}, {{whole(), whole(), rows()}, {rows()}}};
}

std::shared_ptr<const Op> ScatterAddRowsOp::local(const LocalSite& site) const {
  const auto slice = vocabulary_slice(site, 2);
  return slice ? std::make_shared<ScatterAddRowsOp>(first_, first_row_ + slice->rows.offset)
               : nullptr;
}

ValueId gather_rows(Builder& b, ValueId table, ValueId ids, ValueId addend, DType out,
                    const std::string& name, int64_t first_row) {
  return b.apply1(std::make_shared<GatherRowsOp>(out, first_row), {table, ids, addend}, name);
}

}  // namespace ashlar::graph
