#include "ashlar/graph/ops/collective.h"

#include "ashlar/graph/ops/shape_rules.h"

#include <algorithm>
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

// Ranks must agree on how many collectives there are, so the op says it, not where operands happen
// to lie.
static Buffer block_of(std::span<const Operand> operands, std::string_view label) {
  Buffer block = whole(operands[0]);
  for (const Operand& next : operands.subspan(1)) {
    ASHLAR_CHECK(next.dtype == block.dtype &&
                     next.data == static_cast<std::byte*>(block.data) + block.bytes(),
                 "all_reduce: Variables of the bucket at {} do not lie one behind the other: "
                 "VariableStore::add_missing makes them so",
                 label);
    block.elements += next.shape.elements();
  }
  return block;
}

std::vector<comm::Pending> AllReduceOp::start(const KernelCall& call) const {
  Communicator& comm = ranks(call.comm, kind());
  std::vector<comm::Pending> pending;
  if (block_) {
    const Buffer block = block_of(call.outputs, on_.label);
    pending.push_back(comm.start_all_reduce(on_.group, reduce_, block, on_.label));
    return pending;
  }
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

static comm::Pending start_gather(Communicator& comm, const GroupLabel& on, const Operand& part,
                                  const Operand& all) {
  const auto counts = dealt(on.group, all.shape[0], all.shape.row_elements());
  return comm.start_all_gather(on.group, whole(part), counts, whole(all), on.label);
}

static void gather(Communicator& comm, const GroupLabel& on, const Operand& part,
                   const Operand& all) {
  start_gather(comm, on, part, all).wait();
}

std::vector<comm::Pending> AllGatherOp::start(const KernelCall& call) const {
  std::vector<comm::Pending> pending;
  pending.push_back(start_gather(ranks(call.comm, kind()), on_, call.inputs[0], call.outputs[0]));
  return pending;
}

void AllGatherOp::run(const KernelCall& call) const { start(call)[0].wait(); }

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
  if (parts_.empty()) {
    check_one(kind(), in);
    return {with_rows(in[0], rows_)};
  }
  check_inputs(kind(), in, parts_.size());
  std::vector<ValueType> result;
  for (size_t i = 0; i < in.size(); ++i) {
    check_one(kind(), in.subspan(i, 1));
    result.push_back(with_rows(in[i], parts_[i].length));
  }
  return result;
}

std::vector<Alias> ReduceScatterOp::aliases() const {
  std::vector<Alias> result;
  for (size_t i = 0; i < parts_.size(); ++i) {
    const int at = static_cast<int>(i);
    result.push_back({at, at, true, true, parts_[i].offset});
  }
  return result;
}

static comm::Pending start_reduce_scatter(Communicator& comm, const GroupLabel& on,
                                          const Operand& term, const Operand& rows) {
  const auto counts = dealt(on.group, term.shape[0], term.shape.row_elements());
  return comm.start_reduce_scatter(on.group, comm::Reduce::kSum, whole(term), counts, whole(rows),
                                   on.label);
}

std::vector<comm::Pending> ReduceScatterOp::start(const KernelCall& call) const {
  std::vector<comm::Pending> pending;
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    pending.push_back(
        start_reduce_scatter(ranks(call.comm, kind()), on_, call.inputs[i], call.outputs[i]));
  }
  return pending;
}

void ReduceScatterOp::run(const KernelCall& call) const {
  for (comm::Pending& pending : start(call)) pending.wait();
}

void ReduceScatterOp::reference(const ReferenceCall& call) const {
  for (size_t i = 0; i < call.inputs.size(); ++i) {
    start_reduce_scatter(ranks(call.comm, kind()), on_, call.inputs[i], call.outputs[i]).wait();
  }
}

// ---------------------------------------------------------------- reduce_into
std::string ReduceIntoOp::attributes() const {
  const bool any = std::ranges::find(first_, true) != first_.end();
  return on(on_.group) + (any ? " first" : "");
}

std::vector<ValueType> ReduceIntoOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 2 * first_.size());
  return {in.begin() + static_cast<std::ptrdiff_t>(first_.size()), in.end()};
}

std::vector<Alias> ReduceIntoOp::aliases() const {
  const int n = static_cast<int>(first_.size());
  std::vector<Alias> result;
  for (int i = 0; i < n; ++i) result.push_back({i, n + i, true});
  return result;
}

template <typename T>
static void add(T* sum, const T* term, int64_t n) {
  for (int64_t k = 0; k < n; ++k) sum[k] += term[k];
}
static void add(bf16* sum, const bf16* term, int64_t n) {
  for (int64_t k = 0; k < n; ++k) sum[k] = to_bf16(to_float(sum[k]) + to_float(term[k]));
}

// grad holds what earlier microbatches left: it goes into the sum with this rank's term, and the
// sum takes its place.
template <typename T>
std::vector<comm::Pending> ReduceIntoOp::start(Communicator& comm, std::span<const Operand> in,
                                               bool first_microbatch) const {
  std::vector<comm::Pending> pending;
  for (size_t i = 0; i < first_.size(); ++i) {
    const Operand &term = in[i], &grad = in[first_.size() + i];
    const int64_t n = grad.shape.elements();
    if (!(first_[i] && first_microbatch)) {
      const Slice rows = slice_of(term.shape[0], on_.group.size(), on_.group.index);
      T* own = term.as<T>() + rows.offset * term.shape.row_elements();
      add(own, grad.as<T>(), n);
    }
    pending.push_back(start_reduce_scatter(comm, on_, term, grad));
  }
  return pending;
}

std::vector<comm::Pending> ReduceIntoOp::start(const KernelCall& call) const {
  comm::Communicator& comm = ranks(call.comm, kind());
  const bool first = call.state.first_microbatch;
  return call.inputs[0].dtype == DType::kBF16 ? start<bf16>(comm, call.inputs, first)
                                              : start<float>(comm, call.inputs, first);
}

void ReduceIntoOp::run(const KernelCall& call) const {
  for (comm::Pending& pending : start(call)) pending.wait();
}

void ReduceIntoOp::reference(const ReferenceCall& call) const {
  for (comm::Pending& pending :
       start<double>(ranks(call.comm, kind()), call.inputs, call.state.first_microbatch)) {
    pending.wait();
  }
}

std::vector<ValueType> FreeTermsOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 2 * static_cast<size_t>(grads_));
  return {in.begin(), in.begin() + grads_};
}

std::vector<Alias> FreeTermsOp::aliases() const {
  std::vector<Alias> result;
  for (int i = 0; i < grads_; ++i) result.push_back({i, i, true});
  return result;
}

bool goes_on(const Op& op) {
  if (const auto* sum = dynamic_cast<const AllReduceOp*>(&op)) return sum->variables();
  if (const auto* scatter = dynamic_cast<const ReduceScatterOp*>(&op)) {
    return !scatter->parts().empty();
  }
  if (const auto* gather = dynamic_cast<const AllGatherOp*>(&op)) return gather->variable();
  const auto* into = dynamic_cast<const ReduceIntoOp*>(&op);
  return into != nullptr && into->terms_stay();
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
