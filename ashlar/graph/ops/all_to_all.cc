#include "ashlar/graph/ops/all_to_all.h"

#include "ashlar/graph/context_rows.h"
#include "ashlar/graph/ops/shape_rules.h"

#include <cstring>

namespace ashlar::graph {
namespace {

struct Rows {  // that lie `stride` bytes apart
  std::byte* data;
  int64_t stride;

  std::byte* at(int64_t row) const { return data + row * stride; }
};

void copy_rows(const Rows& from, int64_t from_row, const Rows& to, int64_t to_row, int64_t count,
               int64_t bytes) {
  for (int64_t i = 0; i < count; ++i) {
    std::memcpy(to.at(to_row + i), from.at(from_row + i), static_cast<size_t>(bytes));
  }
}

}  // namespace

std::string AllToAllOp::attributes() const {
  return fmt::format("{} of {} to {}{}", on_.group.name, on_.group.size(),
                     to_ == To::kColumns ? "columns" : "rows", cut_.zigzag ? " zigzag" : "");
}

std::vector<ValueType> AllToAllOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 1);
  check_rank(kind(), "x", in[0], 2);
  ValueType type = in[0];
  const Dim columns = in[0].shape[1];
  const int64_t ranks = on_.group.size();
  ASHLAR_CHECK(columns.fixed() && (to_ == To::kRows || columns.offset % ranks == 0),
               "all_to_all {}: x is {}, wanted columns that {} ranks divide", on_.label,
               in[0].str(), ranks);
  type.shape[0] = rows_;
  type.shape[1] = to_ == To::kColumns ? columns.offset / ranks : columns.offset * ranks;
  return {type};
}

// What is sent, and what comes.
int64_t AllToAllOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand> out,
                                  const kernels::KernelTable&, int) const {
  return (in[0].shape.elements() + out[0].shape.elements()) * size_of(in[0].dtype);
}

AllToAllOp::Counts AllToAllOp::counts(const Operand& whole) const {
  const int ranks = on_.group.size();
  const int64_t columns = whole.shape[1];
  Counts result;
  for (int i = 0; i < ranks; ++i) {
    result.of_mine.push_back(context_rows(cut_, ranks, on_.group.index, whole.shape[0]) * columns);
    result.of_whole.push_back(context_rows(cut_, ranks, i, whole.shape[0]) * columns);
  }
  return result;
}

void AllToAllOp::traffic(const TrafficCall& call) const {
  const Operand &x = call.inputs[0], &y = call.outputs[0];
  const auto [of_mine, of_whole] = counts(to_ == To::kColumns ? y : x);
  const auto& sent = to_ == To::kColumns ? of_mine : of_whole;
  const auto& received = to_ == To::kColumns ? of_whole : of_mine;
  call.comm.all_to_all(on_.group, {x.dtype, nullptr, x.shape.elements()}, sent,
                       {y.dtype, nullptr, y.shape.elements()}, received, on_.label);
}

void AllToAllOp::exchange(comm::Communicator* comm, const Operand& x, const Operand& y,
                          std::byte* memory) const {
  ASHLAR_CHECK(comm != nullptr,
               "all_to_all: a graph for several ranks runs on one: give it a communicator");
  const bool to_columns = to_ == To::kColumns;
  const Operand& mine = to_columns ? x : y;   // [t,C]
  const Operand& whole = to_columns ? y : x;  // [T,C/p]
  const int ranks = on_.group.size();
  const int64_t columns = whole.shape[1], bytes = columns * size_of(x.dtype);
  const int64_t t = context_rows(cut_, ranks, on_.group.index, whole.shape[0]);
  ASHLAR_CHECK(mine.shape[0] == t,
               "all_to_all {}: rank {} of {} has {} rows, wanted {} of a microbatch of {}",
               on_.label, on_.group.index, ranks, mine.shape[0], t, whole.shape[0]);

  // Packed, rank after rank: a column block of the own rows, and the own columns of all rows.
  const auto [of_mine, of_whole] = counts(whole);
  std::byte* packed_mine = memory;
  std::byte* packed_whole = memory + mine.shape.elements() * size_of(x.dtype);
  // copy(tensor, its first row, packed, its first row, rows) for every run of rows.
  const auto each_of_mine = [&](auto copy) {
    for (int i = 0; i < ranks; ++i) {
      copy(Rows{mine.data + i * bytes, ranks * bytes}, 0, Rows{packed_mine, bytes}, i * t, t);
    }
  };
  const auto each_of_whole = [&](auto copy) {
    int64_t before = 0;
    for (int i = 0; i < ranks; ++i) {
      for (const RowRun& run : context_runs(cut_, ranks, i, whole.shape[0])) {
        copy(Rows{whole.data, bytes}, run.first, Rows{packed_whole, bytes}, before, run.count);
        before += run.count;
      }
    }
  };
  const auto pack = [&](const Rows& tensor, int64_t at, const Rows& packed, int64_t to,
                        int64_t count) { copy_rows(tensor, at, packed, to, count, bytes); };
  const auto unpack = [&](const Rows& tensor, int64_t at, const Rows& packed, int64_t from,
                          int64_t count) { copy_rows(packed, from, tensor, at, count, bytes); };
  const auto buffer = [&](std::byte* data, const Operand& like) {
    return comm::Buffer{x.dtype, data, like.shape.elements()};
  };
  if (to_columns) {
    each_of_mine(pack);
    comm->all_to_all(on_.group, buffer(packed_mine, mine), of_mine, buffer(packed_whole, whole),
                     of_whole, on_.label);
    each_of_whole(unpack);
  } else {
    each_of_whole(pack);
    comm->all_to_all(on_.group, buffer(packed_whole, whole), of_whole, buffer(packed_mine, mine),
                     of_mine, on_.label);
    each_of_mine(unpack);
  }
}

void AllToAllOp::run(const KernelCall& call) const {
  exchange(call.comm, call.inputs[0], call.outputs[0], call.team.scratch);
}

void AllToAllOp::reference(const ReferenceCall& call) const {
  const Operand &x = call.inputs[0], &y = call.outputs[0];
  std::vector<std::byte> memory(
      static_cast<size_t>((x.shape.elements() + y.shape.elements()) * size_of(x.dtype)));
  exchange(call.comm, x, y, memory.data());
}

}  // namespace ashlar::graph
