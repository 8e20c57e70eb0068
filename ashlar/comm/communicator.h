// What one rank sees of its job: who it is, messages, collectives, and what they cost. All calls
// come from the rank's one thread. Ranks must start the collectives that they share in one order.
// Each operation takes a label (a layer path) for errors; start_x returns at once and moves on
// whenever the rank calls poll(), done() or wait(); x alone waits. Sums are added in the group's
// rank order, bf16 and f16 in f32 rounded once; so they depend on neither chunks nor backend.
#pragma once

#include "ashlar/comm/buffer.h"
#include "ashlar/comm/counters.h"
#include "ashlar/comm/group.h"

#include <memory>
#include <span>
#include <string_view>

namespace ashlar::comm {

enum class Reduce : uint8_t { kSum, kMax };

struct CommOptions {
  double timeout_s = 600;  // comm.timeout: how long a wait may see nothing move
};

// An operation under way. Buffers stay untouched until it is done. Dropping it gives it up: only
// for the way out after an error.
class Work {
 public:
  virtual ~Work() = default;
  virtual bool done() = 0;
  virtual void wait() = 0;
};

class Pending {
 public:
  Pending() = default;  // nothing to wait for
  explicit Pending(std::unique_ptr<Work> work) : work_(std::move(work)) {}

  bool done() { return !work_ || work_->done(); }
  void wait() {
    if (work_) work_->wait();
    work_.reset();
  }

 private:
  std::unique_ptr<Work> work_;
};

// Implemented by MessageCommunicator over messages between threads or MPI processes. A library
// with collectives of its own (NCCL) implements this interface itself.
class Communicator {
 public:
  using Label = std::string_view;
  using Counts = std::span<const int64_t>;  // elements per rank of the group, in its order

  virtual ~Communicator() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;
  Group world() const { return whole_group(size(), rank()); }
  virtual const Counters& counters() const = 0;
  virtual void reset_counters() = 0;

  // Moves on what is under way, without waiting; throws if the job has failed. Call between ops.
  virtual void poll() = 0;

  // Messages to and from a rank given by its index in the group. Between two ranks, messages of one
  // tag arrive in the order sent. 0 <= tag < kTags. A send is done once the receiver has it.
  static constexpr int kTags = 1 << 22;
  virtual Pending start_send(const Group& group, int to, int tag, ConstBuffer data,
                             Label label) = 0;
  virtual Pending start_recv(const Group& group, int from, int tag, Buffer data, Label label) = 0;

  virtual Pending start_barrier(const Group& group, Label label) = 0;
  // data of the root goes to all, down a binomial tree.
  virtual Pending start_broadcast(const Group& group, int root, Buffer data, Label label) = 0;
  // Rank i's in lies in out at the sum of the counts before i. counts[i] elements each; in may be
  // its place in out. Only the root's out (gather) or in (scatter) is looked at.
  virtual Pending start_all_gather(const Group& group, ConstBuffer in, Counts counts, Buffer out,
                                   Label label) = 0;
  virtual Pending start_gather(const Group& group, int root, ConstBuffer in, Counts counts,
                               Buffer out, Label label) = 0;
  virtual Pending start_scatter(const Group& group, int root, ConstBuffer in, Counts counts,
                                Buffer out, Label label) = 0;
  // out = this rank's slice, counts[index] elements, of the sum of all ranks' in. out may be that
  // slice of in.
  virtual Pending start_reduce_scatter(const Group& group, Reduce reduce, ConstBuffer in,
                                       Counts counts, Buffer out, Label label) = 0;
  // data = the sum of all ranks' data. A reduce_scatter over even slices, then an all_gather.
  virtual Pending start_all_reduce(const Group& group, Reduce reduce, Buffer data, Label label) = 0;
  // The same over inner x outer (Jia 2018, Mikami 2018): reduce_scatter in the inner group (a
  // node), all_reduce of the own slice over the outer one, all_gather inside. Sums inner groups
  // first: floats may differ from the flat form in the last bit, integers do not.
  virtual Pending start_hierarchical_all_reduce(const Group& inner, const Group& outer,
                                                Reduce reduce, Buffer data, Label label) = 0;
  // The part of in for rank i (send_counts[i] elements, in order) goes to place i of its out.
  virtual Pending start_all_to_all(const Group& group, ConstBuffer in, Counts send_counts,
                                   Buffer out, Counts recv_counts, Label label) = 0;

  void send(const Group& group, int to, int tag, ConstBuffer data, Label label) {
    start_send(group, to, tag, data, label).wait();
  }
  void recv(const Group& group, int from, int tag, Buffer data, Label label) {
    start_recv(group, from, tag, data, label).wait();
  }
  void barrier(const Group& group, Label label) { start_barrier(group, label).wait(); }
  void broadcast(const Group& group, int root, Buffer data, Label label) {
    start_broadcast(group, root, data, label).wait();
  }
  void all_gather(const Group& group, ConstBuffer in, Counts counts, Buffer out, Label label) {
    start_all_gather(group, in, counts, out, label).wait();
  }
  void gather(const Group& group, int root, ConstBuffer in, Counts counts, Buffer out,
              Label label) {
    start_gather(group, root, in, counts, out, label).wait();
  }
  void scatter(const Group& group, int root, ConstBuffer in, Counts counts, Buffer out,
               Label label) {
    start_scatter(group, root, in, counts, out, label).wait();
  }
  void reduce_scatter(const Group& group, Reduce reduce, ConstBuffer in, Counts counts, Buffer out,
                      Label label) {
    start_reduce_scatter(group, reduce, in, counts, out, label).wait();
  }
  void all_reduce(const Group& group, Reduce reduce, Buffer data, Label label) {
    start_all_reduce(group, reduce, data, label).wait();
  }
  void hierarchical_all_reduce(const Group& inner, const Group& outer, Reduce reduce, Buffer data,
                               Label label) {
    start_hierarchical_all_reduce(inner, outer, reduce, data, label).wait();
  }
  void all_to_all(const Group& group, ConstBuffer in, Counts send_counts, Buffer out,
                  Counts recv_counts, Label label) {
    start_all_to_all(group, in, send_counts, out, recv_counts, label).wait();
  }
};

// The counts of an even split of n elements over the group: see mesh/slice.h.
std::vector<int64_t> even_counts(const Group& group, int64_t n);

}  // namespace ashlar::comm
