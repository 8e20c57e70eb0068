// Counts what one rank would send, and sends nothing: what an operation costs is known before
// anything runs. The collectives are those of MessageCommunicator, step for step, so bytes and
// messages are too. Buffers are not looked at; their data may be null.
#pragma once

#include "ashlar/comm/program.h"

namespace ashlar::comm {

class CountingCommunicator : public Communicator {
 public:
  CountingCommunicator(int size, int rank) : size_(size), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  const Counters& counters() const override { return counters_; }
  void reset_counters() override { counters_.reset(); }
  void poll() override {}

  Pending start_send(const Group& group, int to, int tag, ConstBuffer data, Label label) override;
  Pending start_recv(const Group& group, int from, int tag, Buffer data, Label label) override;
  Pending start_barrier(const Group& group, Label label) override;
  Pending start_broadcast(const Group& group, int root, Buffer data, Label label) override;
  Pending start_all_gather(const Group& group, ConstBuffer in, Counts counts, Buffer out,
                           Label label) override;
  Pending start_gather(const Group& group, int root, ConstBuffer in, Counts counts, Buffer out,
                       Label label) override;
  Pending start_scatter(const Group& group, int root, ConstBuffer in, Counts counts, Buffer out,
                        Label label) override;
  Pending start_reduce_scatter(const Group& group, Reduce reduce, ConstBuffer in, Counts counts,
                               Buffer out, Label label) override;
  Pending start_all_reduce(const Group& group, Reduce reduce, Buffer data, Label label) override;
  Pending start_hierarchical_all_reduce(const Group& inner, const Group& outer, Reduce reduce,
                                        Buffer data, Label label) override;
  Pending start_all_to_all(const Group& group, ConstBuffer in, Counts send_counts, Buffer out,
                           Counts recv_counts, Label label) override;

 private:
  Peers peers(CommOp op, const Group& group);
  static void count(const Program& program);
  // Programs point into buffers: some place that nobody reads.
  std::byte* nowhere() { return &nowhere_; }

  int size_, rank_;
  Counters counters_;
  std::byte nowhere_{};
};

}  // namespace ashlar::comm
