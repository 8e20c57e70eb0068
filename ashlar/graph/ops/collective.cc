#include "ashlar/graph/ops/collective.h"

#include "ashlar/graph/ops/shape_rules.h"

#include <cstring>

namespace ashlar::graph {
namespace {

using comm::Buffer;
using comm::Communicator;
using comm::ConstBuffer;

Communicator& ranks(Communicator* comm, std::string_view op) {
  ASHLAR_CHECK(comm != nullptr, "{}: a graph for several ranks runs on one: give it a communicator",
               op);
  return *comm;
}

Buffer whole(const Operand& operand) {
  return {operand.dtype, operand.data, operand.shape.elements()};
}

// Elements that each rank of the group holds of `rows` rows.
std::vector<int64_t> dealt(const comm::Group& group, int64_t rows, int64_t row) {
  std::vector<int64_t> counts(static_cast<size_t>(group.size()));
  for (int i = 0; i < group.size(); ++i)
    counts[static_cast<size_t>(i)] = slice_of(rows, group.size(), i).length * row;
  return counts;
}

ValueType with_rows(ValueType type, Dim rows) {
  type.shape[0] = rows;
  return type;
}

void copy(const Operand& from, const Operand& to) {
  if (from.data == to.data) return;
  const auto bytes = static_cast<size_t>(from.shape.elements() * size_of(from.dtype));
  if (bytes > 0) std::memcpy(to.data, from.data, bytes);
}

std::string on(const comm::Group& group) {
  return fmt::format("{} of {}", group.name, group.size());
}

void check_one(std::string_view op, std::span<const ValueType> in) {
  check_inputs(op, in, 1);
  ASHLAR_CHECK(in[0].present && in[0].shape.rank() >= 1, "{}: x is {}, wanted rows", op,
               in[0].str());
}

}  // namespace

// ---------------------------------------------------------------- all_reduce
std::string AllReduceOp::attributes() const {
  return on(on_.group) + (reduce_ == comm::Reduce::kMax ? " max" : "");
}

std::vector<ValueType> AllReduceOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, static_cast<size_t>(values_));
  return {in.begin(), in.end()};
}

std::vector<Alias> AllReduceOp::aliases() const {
  std::vector<Alias> result;
  for (int i = 0; i < values_; ++i) result.push_back({i, i, variables_});
  return result;
}

std::vector<comm::Pending> AllReduceOp::start(const KernelCall& call) const {
  Communicator& comm = ranks(call.comm, kind());
  std::vector<comm::Pending> pending;
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    copy(call.inputs[i], call.outputs[i]);
    pending.push_back(comm.start_all_reduce(on_.group, reduce_, whole(call.outputs[i]), on_.label));
  }
  return pending;
}

void AllReduceOp::run(const KernelCall& call) const {
  for (comm::Pending& pending : start(call)) pending.wait();
}

void AllReduceOp::reference(const ReferenceCall& call) const {
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    copy(call.inputs[i], call.outputs[i]);
    ranks(call.comm, kind()).all_reduce(on_.group, reduce_, whole(call.outputs[i]), on_.label);
  }
}

// ---------------------------------------------------------------- all_gather
std::string AllGatherOp::attributes() const { return on(on_.group); }

std::vector<ValueType> AllGatherOp::infer(std::span<const ValueType> in) const {
  check_one(kind(), in);
  return {with_rows(in[0], rows_)};
}

static void gather(Communicator& comm, const GroupLabel& on, const Operand& part,
                   const Operand& all) {
  const auto counts = dealt(on.group, all.shape[0], all.shape.row_elements());
  comm.all_gather(on.group, whole(part), counts, whole(all), on.label);
}

void AllGatherOp::run(const KernelCall& call) const {
  gather(ranks(call.comm, kind()), on_, call.inputs[0], call.outputs[0]);
}

void AllGatherOp::reference(const ReferenceCall& call) const {
  gather(ranks(call.comm, kind()), on_, call.inputs[0], call.outputs[0]);
}

std::string GatherIntoOp::attributes() const { return on(on_.group); }

std::vector<ValueType> GatherIntoOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 2);
  ASHLAR_CHECK(in[0].dtype == in[1].dtype && in[0].shape.rank() == in[1].shape.rank(),
               "gather_into: {} is no part of {}", in[0].str(), in[1].str());
  return {in[1]};
}

void GatherIntoOp::run(const KernelCall& call) const {
  gather(ranks(call.comm, kind()), on_, call.inputs[0], call.outputs[0]);
}

void GatherIntoOp::reference(const ReferenceCall& call) const {
  gather(ranks(call.comm, kind()), on_, call.inputs[0], call.outputs[0]);
}

// ---------------------------------------------------------------- reduce_scatter
std::string ReduceScatterOp::attributes() const { return on(on_.group); }

std::vector<ValueType> ReduceScatterOp::infer(std::span<const ValueType> in) const {
  check_one(kind(), in);
  return {with_rows(in[0], rows_)};
}

std::vector<Alias> ReduceScatterOp::aliases() const {
  if (!variable_) return {};
  return {{.output = 0, .input = 0, .required = true, .part = true, .first_row = part_.offset}};
}

std::vector<comm::Pending> ReduceScatterOp::start(const KernelCall& call) const {
  const auto counts =
      dealt(on_.group, call.inputs[0].shape[0], call.inputs[0].shape.row_elements());
  std::vector<comm::Pending> pending;
  pending.push_back(ranks(call.comm, kind())
                        .start_reduce_scatter(on_.group, comm::Reduce::kSum, whole(call.inputs[0]),
                                              counts, whole(call.outputs[0]), on_.label));
  return pending;
}

void ReduceScatterOp::run(const KernelCall& call) const { start(call)[0].wait(); }

void ReduceScatterOp::reference(const ReferenceCall& call) const {
  const auto counts =
      dealt(on_.group, call.inputs[0].shape[0], call.inputs[0].shape.row_elements());
  ranks(call.comm, kind())
      .reduce_scatter(on_.group, comm::Reduce::kSum, whole(call.inputs[0]), counts,
                      whole(call.outputs[0]), on_.label);
}

// ---------------------------------------------------------------- reduce_into
std::string ReduceIntoOp::attributes() const { return on(on_.group) + (first_ ? " first" : ""); }

std::vector<ValueType> ReduceIntoOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 2);
  return {in[1]};
}

int64_t ReduceIntoOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand>,
                                    const kernels::KernelTable&, int) const {
  return in[1].shape.elements() * size_of(in[1].dtype);
}

// The sum goes through `sum`, since grad may hold what earlier microbatches left.
template <typename T>
static void reduce_into(Communicator& comm, const GroupLabel& on, std::span<const Operand> in,
                        T* sum, bool overwrite) {
  const auto counts = dealt(on.group, in[0].shape[0], in[0].shape.row_elements());
  const int64_t n = in[1].shape.elements();
  T* grad = in[1].as<T>();
  const Buffer out{in[1].dtype, overwrite ? grad : sum, n};
  comm.reduce_scatter(on.group, comm::Reduce::kSum, whole(in[0]), counts, out, on.label);
  if (overwrite) return;
  for (int64_t i = 0; i < n; ++i) grad[i] += sum[i];
}

void ReduceIntoOp::run(const KernelCall& call) const {
  reduce_into(ranks(call.comm, kind()), on_, call.inputs,
              static_cast<float*>(static_cast<void*>(call.team.scratch)),
              first_ && call.state.first_microbatch);
}

void ReduceIntoOp::reference(const ReferenceCall& call) const {
  std::vector<double> sum(static_cast<size_t>(call.inputs[1].shape.elements()));
  reduce_into(ranks(call.comm, kind()), on_, call.inputs, sum.data(),
              first_ && call.state.first_microbatch);
}

// ---------------------------------------------------------------- rows, zeros
std::string RowsOp::attributes() const {
  return parts_ > 0 ? fmt::format("{} of {}", index_, parts_)
                    : fmt::format("{}..{}", part_.offset, part_.end());
}

std::vector<ValueType> RowsOp::infer(std::span<const ValueType> in) const {
  check_one(kind(), in);
  return {with_rows(in[0], rows_)};
}

std::vector<Alias> RowsOp::aliases() const {
  if (parts_ > 0) return {};
  return {{.output = 0, .input = 0, .required = true, .part = true, .first_row = part_.offset}};
}

static void copy_rows(const Operand& x, const Operand& y, int parts, int index) {
  if (parts == 0) return;  // the output lies in the Variable already
  const Slice rows = slice_of(x.shape[0], parts, index);
  const int64_t row = x.shape.row_elements() * size_of(x.dtype);
  if (rows.length > 0)
    std::memcpy(y.data, x.data + rows.offset * row, static_cast<size_t>(rows.length * row));
}

void RowsOp::run(const KernelCall& call) const {
  copy_rows(call.inputs[0], call.outputs[0], parts_, index_);
}

void RowsOp::reference(const ReferenceCall& call) const {
  copy_rows(call.inputs[0], call.outputs[0], parts_, index_);
}

std::vector<ValueType> ZerosOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 0);
  return {type_};
}

void ZerosOp::run(const KernelCall& call) const {
  const Operand& y = call.outputs[0];
  std::memset(y.data, 0, static_cast<size_t>(y.shape.elements() * size_of(y.dtype)));
}

void ZerosOp::reference(const ReferenceCall& call) const {
  const Operand& y = call.outputs[0];
  std::fill_n(y.as<double>(), y.shape.elements(), 0.0);
}

}  // namespace ashlar::graph
