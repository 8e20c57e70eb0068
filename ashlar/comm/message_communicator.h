// A Communicator over messages: every collective is a Program of sends, receives and sums, carried
// out step by step by poll() and the waits. Works over any Transport.
#pragma once

#include "ashlar/base/clock.h"
#include "ashlar/comm/communicator.h"
#include "ashlar/comm/program.h"
#include "ashlar/comm/transport.h"

#include <string>
#include <vector>

namespace ashlar::comm {

class Operation;

class MessageCommunicator final : public Communicator {
 public:
  explicit MessageCommunicator(Transport& transport, const CommOptions& options = {});

  int rank() const override { return transport_.rank(); }
  int size() const override { return transport_.size(); }
  const Counters& counters() const override { return counters_; }
  void reset_counters() override { counters_.reset(); }
  void poll() override;

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
  friend class Operation;

  // For errors: "all_reduce 'layers.3.mlp' on axis data".
  std::string describe(CommOp op, const Group& group, Label label) const;
  // Takes the tags of one more collective between this rank and each other of the group.
  Peers peers(CommOp op, const Group& group, const std::string& what);
  Peers one_peer(CommOp op, const Group& group, int other, int tag, const std::string& what);
  Pending start(Program program, Traffic& traffic, std::string what);
  void wait(Operation& operation);
  [[noreturn]] void fail_waiting(const Operation& operation);

  Transport& transport_;
  CommOptions options_;
  SteadyClock clock_;
  Counters counters_;
  std::vector<int> collectives_;       // started with each rank so far: their next tag
  std::vector<Operation*> under_way_;  // in the order started
};

}  // namespace ashlar::comm
