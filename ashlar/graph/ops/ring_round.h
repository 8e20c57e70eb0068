// One op's way round a ring of ranks: keys and values come by, block after block, and each is
// worked on while the next one comes.
#pragma once

#include "ashlar/graph/ops/attention_meeting.h"
#include "ashlar/graph/ops/ring_attention.h"
#include "ashlar/graph/ops/shape_rules.h"

#include <array>
#include <span>

namespace ashlar::graph {

// Messages between neighbours; of one tag they arrive in the order sent.
inline constexpr int kKeyTag = 0, kGradTag = 1;

struct RingSize {  // elements
  int64_t k = 0, v = 0;
};

// Keys and values of one rank, or the gradients of both.
struct RingBlock {
  comm::Buffer k, v;

  RingSize size() const { return {k.elements, v.elements}; }
  RingBlock of(const RingSize& size) const {
    RingBlock part = *this;
    part.k.elements = size.k;
    part.v.elements = size.v;
    return part;
  }
};

// One run of a ring op on one rank, of inputs (q, k, v, row_start, ...).
class RingRound {
 public:
  RingRound(std::string_view op, const ContextRing& ring, comm::Communicator* comm,
            std::span<const Operand> in, const kernels::AttentionMask& mask)
      : ring_(ring),
        comm_(communicator(op, comm)),
        row_start_(in[3].as<int32_t>(), static_cast<size_t>(in[3].shape[0])),
        mask_(mask),
        width_{in[1].shape[1], in[2].shape[1]} {
    const int64_t wanted = rows_of(index());
    ASHLAR_CHECK(in[1].shape[0] == wanted,
                 "{} {}: rank {} of {} has {} rows, wanted {} of a microbatch of {} (rows of {})",
                 op, ring.on.label, index(), ranks(), in[1].shape[0], wanted, row_start_.back(),
                 ring.cut.seq);
  }

  int ranks() const { return ring_.on.group.size(); }
  // What a rank owns of k and v.
  RingSize size_of(int rank) const { return {rows_of(rank) * width_.k, rows_of(rank) * width_.v}; }

  std::array<comm::Pending, 2> send(int tag, const RingBlock& block) const {
    return {comm_.start_send(group(), neighbour(1), tag, block.k, label()),
            comm_.start_send(group(), neighbour(1), tag, block.v, label())};
  }
  std::array<comm::Pending, 2> receive(int tag, const RingBlock& block) const {
    return {comm_.start_recv(group(), neighbour(-1), tag, block.k, label()),
            comm_.start_recv(group(), neighbour(-1), tag, block.v, label())};
  }
  static void wait(std::array<comm::Pending, 2>& pending) {
    for (comm::Pending& one : pending) one.wait();
  }

  // visit(block, its owner) for the blocks of all ranks, the own first, then those of the ranks
  // before in descending order.
  template <typename Visit>
  void go(const RingBlock& own, const std::array<RingBlock, 2>& buffers, Visit visit) const {
    RingBlock block = own;
    for (int step = 0; step < ranks(); ++step) {
      RingBlock next;
      std::array<comm::Pending, 2> leaving, coming;
      if (step + 1 < ranks()) {
        next = buffers[static_cast<size_t>(step % 2)].of(size_of(neighbour(-step - 1)));
        leaving = send(kKeyTag, block);
        coming = receive(kKeyTag, next);
      }
      visit(block, neighbour(-step));
      wait(coming);
      wait(leaving);
      block = next;
    }
  }

  // attend(args) for every set of segments of the own queries and the block.
  template <typename Args, typename Attend>
  void meet_block(Args args, const RingBlock& block, int owner, Attend attend) const {
    args.k = static_cast<decltype(args.k)>(block.k.data);
    args.v = static_cast<decltype(args.v)>(block.v.data);
    args.row_start = nullptr;
    const AttentionMeeting meeting = meet(ring_.cut, ranks(), index(), owner, row_start_, mask_);
    for (const auto& segments : meeting.calls) {
      args.segments = segments.data();
      args.seqs = static_cast<int64_t>(segments.size());
      attend(args);
      comm_.poll();
    }
  }

 private:
  static comm::Communicator& communicator(std::string_view op, comm::Communicator* comm) {
    ASHLAR_CHECK(comm != nullptr,
                 "{}: a graph for several ranks runs on one: give it a communicator", op);
    return *comm;
  }
  const comm::Group& group() const { return ring_.on.group; }
  const std::string& label() const { return ring_.on.label; }
  int index() const { return group().index; }
  // The rank `steps` further on, by its index in the group.
  int neighbour(int steps) const { return (index() + steps + ranks()) % ranks(); }
  int64_t rows_of(int rank) const {
    return context_rows(ring_.cut, ranks(), rank, row_start_.back());
  }

  const ContextRing& ring_;
  comm::Communicator& comm_;
  std::span<const int32_t> row_start_;
  const kernels::AttentionMask& mask_;
  RingSize width_;  // of a row
};

}  // namespace ashlar::graph
