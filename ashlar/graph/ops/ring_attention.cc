#include "ashlar/graph/ops/ring_attention.h"

#include "ashlar/graph/ops/attention_args.h"
#include "ashlar/graph/ops/ring_round.h"

#include <algorithm>
#include <array>
#include <cstring>
#include <limits>

namespace ashlar::graph {
namespace {

using comm::Buffer;
using comm::Pending;

void clear(const RingBlock& block) {
  std::memset(block.k.data, 0, block.k.bytes());
  std::memset(block.v.data, 0, block.v.bytes());
}

// Hands out memory; with a null base it only counts.
class Memory {
 public:
  explicit Memory(std::byte* base) : base_(base) {}
  std::byte* take(int64_t bytes) {
    std::byte* at = base_ == nullptr ? nullptr : base_ + used_;
    used_ += (bytes + 63) / 64 * 64;
    return at;
  }
  Buffer take(DType dtype, int64_t elements) {
    return {dtype, take(elements * size_of(dtype)), elements};
  }
  RingBlock take_block(DType dtype, const RingSize& size) {
    return {take(dtype, size.k), take(dtype, size.v)};
  }
  int64_t used() const { return used_; }

 private:
  std::byte* base_;
  int64_t used_ = 0;
};

// What any rank may hold of k and v.
RingSize most_elements(const ContextRing& ring, std::span<const Operand> in) {
  const comm::Group& group = ring.on.group;
  const int64_t rows = most_context_rows(ring.cut, group.size(), group.index, in[1].shape[0]);
  return {rows * in[1].shape[1], rows * in[2].shape[1]};
}

struct ForwardMemory {
  std::array<RingBlock, 2> keys;
  Buffer out;  // f32, where out is not
  std::byte* kernel;
};
ForwardMemory take_forward(Memory& memory, const AttentionSpec& spec, const ContextRing& ring,
                           std::span<const Operand> in) {
  const RingSize most = most_elements(ring, in);
  ForwardMemory taken{};
  for (RingBlock& block : taken.keys) block = memory.take_block(in[1].dtype, most);
  const int64_t heads = in[0].shape[1] / spec.head_dim;
  if (in[0].dtype != DType::kF32) {
    taken.out = memory.take(DType::kF32, in[0].shape[0] * heads * spec.values());
  }
  taken.kernel = memory.take(0);
  return taken;
}

// Sums of d_k and d_v, of the wide dtype.
struct GradSums {
  RingBlock home;                   // of the own keys
  std::array<RingBlock, 2> passed;  // of the block at hand, and of the one that is leaving
  RingBlock arrived;                // what the rank before has of the block at hand
};
struct GradMemory {
  std::array<RingBlock, 2> keys;
  GradSums sums;
  Buffer d_q;
  std::byte* kernel;
};
GradMemory take_grad(Memory& memory, const ContextRing& ring, std::span<const Operand> in) {
  const RingSize most = most_elements(ring, in);
  GradMemory taken{};
  for (RingBlock& block : taken.keys) block = memory.take_block(in[1].dtype, most);
  for (RingBlock& block : taken.sums.passed) block = memory.take_block(DType::kF32, most);
  taken.sums.arrived = memory.take_block(DType::kF32, most);
  if (in[0].dtype != DType::kF32) {
    taken.sums.home =
        memory.take_block(DType::kF32, {in[1].shape.elements(), in[2].shape.elements()});
    taken.d_q = memory.take(DType::kF32, in[0].shape.elements());
  }
  taken.kernel = memory.take(0);
  return taken;
}

Buffer buffer_of(const Operand& x) { return {x.dtype, x.data, x.shape.elements()}; }
RingBlock block_of(std::span<const Operand> kv) { return {buffer_of(kv[0]), buffer_of(kv[1])}; }

kernels::Team kernel_team(const KernelCall& call, std::byte* scratch) {
  kernels::Team team = call.team;
  team.scratch_bytes -= scratch - team.scratch;
  team.scratch = scratch;
  return team;
}

void cast(const KernelCall& call, const Buffer& from, const Operand& to) {
  call.table.cast({from.elements, from.dtype, to.dtype, from.data, to.data}, call.team);
}

// `args` are those of one rank, with out and lse to be written.
template <typename Args, typename Attend>
void forward(const RingRound& round, const Args& args, const RingBlock& own,
             const std::array<RingBlock, 2>& buffers, Attend attend) {
  using Float = std::remove_pointer_t<decltype(args.lse)>;
  std::fill_n(static_cast<Float*>(args.out), args.tokens * args.heads * args.values(), Float{0});
  std::fill_n(args.lse, args.tokens * args.heads, -std::numeric_limits<Float>::infinity());
  round.go(own, buffers, [&](const RingBlock& block, int owner) {
    round.meet_block(args, block, owner, attend);
  });
}

// `grad` adds one meeting's gradients, `add` one block's sums to another's. d_q is zeros before.
template <typename Args, typename Grad, typename Add>
void backward(const RingRound& round, const Args& args, const RingBlock& own,
              const std::array<RingBlock, 2>& buffers, const GradSums& sums, Grad grad, Add add) {
  int step = 0;
  std::array<Pending, 2> leaving;
  const auto visit = [&](const RingBlock& block, int owner) {
    const RingBlock arrived = sums.arrived.of(block.size());
    const RingBlock mine =
        step == 0 ? sums.home : sums.passed[static_cast<size_t>(step % 2)].of(block.size());
    std::array<Pending, 2> coming;
    if (step >= 2) coming = round.receive(kGradTag, arrived);
    clear(mine);
    round.meet_block(args.forward, block, owner, [&](const auto& forward) {
      Args with = args;
      with.forward = forward;
      with.d_k = static_cast<decltype(with.d_k)>(mine.k.data);
      with.d_v = static_cast<decltype(with.d_v)>(mine.v.data);
      grad(with);
    });
    round.wait(coming);
    if (step >= 2) add(arrived, mine);
    round.wait(leaving);
    if (step >= 1) leaving = round.send(kGradTag, mine);
    ++step;
  };
  round.go(own, buffers, visit);
  if (round.ranks() == 1) return;
  const RingBlock arrived = sums.arrived.of(own.size());
  std::array<Pending, 2> coming = round.receive(kGradTag, arrived);
  round.wait(coming);
  add(arrived, sums.home);
  round.wait(leaving);
}

// A rank's share of the pairs: exact when row_start is bound, else that of sequences of equal
// length.
double pairs_of(const ContextRing& ring, const kernels::AttentionMask& mask, const Operand& q,
                const Operand& row_start) {
  const int ranks = ring.on.group.size();
  if (row_start.data == nullptr) {
    return batch_pairs(mask, row_start, q.shape[0] * ranks) / ranks;
  }
  const std::span<const int32_t> starts(row_start.as<int32_t>(),
                                        static_cast<size_t>(row_start.shape[0]));
  double pairs = 0;
  for (int owner = 0; owner < ranks; ++owner) {
    pairs += meet(ring.cut, ranks, ring.on.group.index, owner, starts, mask).pairs;
  }
  return pairs;
}

// Block i of `count` in `memory`.
auto reference_blocks(const RingSize& most, int64_t count, std::vector<double>& memory) {
  memory.resize(static_cast<size_t>(count * (most.k + most.v)));
  return [most, base = memory.data()](int64_t i) {
    double* at = base + i * (most.k + most.v);
    return RingBlock{{DType::kF64, at, most.k}, {DType::kF64, at + most.k, most.v}};
  };
}

std::string ring_text(const AttentionSpec& spec, const ContextRing& ring) {
  return fmt::format("{} {} of {}{}", spec_text(spec), ring.on.group.name, ring.on.group.size(),
                     ring.cut.zigzag ? " zigzag" : "");
}

}  // namespace

// ---------------------------------------------------------------- forward
std::string RingAttentionOp::attributes() const { return ring_text(spec(), ring_); }

OpPtr RingAttentionOp::gradient_op() const {
  return std::make_shared<RingAttentionGradOp>(spec(), ring_);
}

Cost RingAttentionOp::cost(std::span<const Operand> in, std::span<const Operand> out) const {
  const double pairs = pairs_of(ring_, spec().mask, in[0], in[3]);
  return {2 * pairs * both_widths(spec()), Op::cost(in, out).bytes};
}

// A call of the kernel has at most one segment a document.
int64_t RingAttentionOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand>,
                                       const kernels::KernelTable& table, int threads) const {
  Memory memory(nullptr);
  take_forward(memory, spec(), ring_, in);
  return memory.used() + table.attention_scratch(forward_args(spec(), in), threads);
}

void RingAttentionOp::traffic(const TrafficCall& call) const {
  const std::span<const Operand> in = call.inputs;
  const RingRound round(kind(), ring_, &call.comm, in, spec().mask);
  const RingBlock own = block_of(in.subspan(1, 2));
  round.go(own, {own, own}, [](const RingBlock&, int) {});
}

void RingAttentionOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs;
  const Operand& out = call.outputs[0];
  Memory memory(call.team.scratch);
  const ForwardMemory taken = take_forward(memory, spec(), ring_, in);
  const RingRound round(kind(), ring_, call.comm, in, spec().mask);
  auto args = forward_args(spec(), in);
  args.dropout = dropout_args(spec(), call.state);
  args.out = taken.out.data != nullptr ? taken.out.data : out.data;
  args.lse = call.outputs[1].as<float>();
  const kernels::Team team = kernel_team(call, taken.kernel);
  forward(round, args, block_of(in.subspan(1, 2)), taken.keys,
          [&](const kernels::AttentionArgs& one) { call.table.attention(one, team); });
  if (taken.out.data != nullptr) cast(call, taken.out, out);
}

void RingAttentionOp::reference(const ReferenceCall& call) const {
  const std::span<const Operand> in = call.inputs;
  std::vector<double> memory;
  const auto block = reference_blocks(most_elements(ring_, in), 2, memory);
  const RingRound round(kind(), ring_, call.comm, in, spec().mask);
  auto args = forward_args_f64(spec(), in);
  args.dropout = dropout_args(spec(), call.state);
  args.out = call.outputs[0].as<double>();
  args.lse = call.outputs[1].as<double>();
  forward(round, args, block_of(in.subspan(1, 2)), {block(0), block(1)},
          [](const kernels::ref::AttentionArgs& one) { kernels::ref::attention(one); });
}

// ---------------------------------------------------------------- gradient
std::string RingAttentionGradOp::attributes() const { return ring_text(spec(), ring_); }

Cost RingAttentionGradOp::cost(std::span<const Operand> in, std::span<const Operand> out) const {
  const double pairs = pairs_of(ring_, spec().mask, in[0], in[3]);
  return {4 * pairs * both_widths(spec()), Op::cost(in, out).bytes};
}

int64_t RingAttentionGradOp::scratch_bytes(std::span<const Operand> in, std::span<const Operand>,
                                           const kernels::KernelTable& table, int threads) const {
  Memory memory(nullptr);
  take_grad(memory, ring_, in);
  kernels::AttentionGradArgs args;
  args.forward = forward_args(spec(), in);
  return memory.used() + table.attention_grad_scratch(args, threads);
}

// Keys and values go round, and behind them, in f32, the sums of their gradients.
void RingAttentionGradOp::traffic(const TrafficCall& call) const {
  const std::span<const Operand> in = call.inputs;
  const RingRound round(kind(), ring_, &call.comm, in, spec().mask);
  const RingBlock own = block_of(in.subspan(1, 2));
  int step = 0;
  round.go(own, {own, own}, [&](const RingBlock& block, int) {
    const RingSize size = block.size();
    if (step++ == 0) return;
    round.send(kGradTag, {{DType::kF32, nullptr, size.k}, {DType::kF32, nullptr, size.v}});
  });
}

void RingAttentionGradOp::run(const KernelCall& call) const {
  const std::span<const Operand> in = call.inputs, out = call.outputs;
  Memory memory(call.team.scratch);
  GradMemory taken = take_grad(memory, ring_, in);
  const bool wide = in[0].dtype == DType::kF32;
  if (wide) {
    taken.d_q = buffer_of(out[0]);
    taken.sums.home = block_of(out.subspan(1, 2));
  }
  const RingRound round(kind(), ring_, call.comm, in, spec().mask);
  kernels::AttentionGradArgs args;
  args.forward = forward_args(spec(), in);
  args.forward.dropout = dropout_args(spec(), call.state);
  args.forward.out = in[4].data;
  args.forward.lse = in[5].as<float>();
  args.d_out = in[6].data;
  args.d_q = taken.d_q.data;
  std::memset(taken.d_q.data, 0, taken.d_q.bytes());
  const kernels::Team team = kernel_team(call, taken.kernel);
  const auto add = [&](const RingBlock& from, const RingBlock& to) {
    const auto one = [&](const Buffer& a, const Buffer& b) {
      call.table.add({a.elements, a.dtype, a.data, b.data, b.data}, call.team);
    };
    one(from.k, to.k);
    one(from.v, to.v);
  };
  backward(
      round, args, block_of(in.subspan(1, 2)), taken.keys, taken.sums,
      [&](const kernels::AttentionGradArgs& one) { call.table.attention_grad(one, team); }, add);
  if (wide) return;
  cast(call, taken.d_q, out[0]);
  cast(call, taken.sums.home.k, out[1]);
  cast(call, taken.sums.home.v, out[2]);
}

void RingAttentionGradOp::reference(const ReferenceCall& call) const {
  const std::span<const Operand> in = call.inputs, out = call.outputs;
  std::vector<double> memory;
  const auto block = reference_blocks(most_elements(ring_, in), 5, memory);
  const RingRound round(kind(), ring_, call.comm, in, spec().mask);
  kernels::ref::AttentionGradArgs args;
  args.forward = forward_args_f64(spec(), in);
  args.forward.dropout = dropout_args(spec(), call.state);
  args.forward.out = in[4].as<double>();
  args.forward.lse = in[5].as<double>();
  args.d_out = in[6].as<double>();
  args.d_q = out[0].as<double>();
  std::fill_n(args.d_q, out[0].shape.elements(), 0.0);
  const auto add = [](const RingBlock& from, const RingBlock& to) {
    const auto one = [](const Buffer& a, const Buffer& b) {
      for (int64_t i = 0; i < a.elements; ++i) {
        static_cast<double*>(b.data)[i] += static_cast<const double*>(a.data)[i];
      }
    };
    one(from.k, to.k);
    one(from.v, to.v);
  };
  const GradSums sums{block_of(out.subspan(1, 2)), {block(2), block(3)}, block(4)};
  backward(
      round, args, block_of(in.subspan(1, 2)), {block(0), block(1)}, sums,
      [](const kernels::ref::AttentionGradArgs& one) { kernels::ref::attention_grad(one); }, add);
}

}  // namespace ashlar::graph
