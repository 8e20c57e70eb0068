// Sums in two levels, where a group is spread over several nodes (Jia 2018, Mikami 2018): inside a
// node first, then each rank its slice across nodes, which carry 1/g of the bytes for g ranks of a
// node. Everything else goes as it is to the communicator underneath.
#pragma once

#include "ashlar/comm/communicator.h"

#include <optional>

namespace ashlar::comm {

// A group's ranks on this one's node, and those in its place on the other nodes. The first is
// counted as "data in a node", the second under the group's name.
struct NodeGroups {
  Group inner, outer;
};

// Where nodes have `node_ranks` ranks each that follow one another. None where the group is on one
// node, has one rank on each, or not as many on all; or where node_ranks is 0.
std::optional<NodeGroups> across_nodes(const Group& group, int node_ranks);

class NodeCommunicator final : public Communicator {
 public:
  // `of` outlives this.
  NodeCommunicator(Communicator& of, int node_ranks) : of_(of), node_ranks_(node_ranks) {}

  Pending start_all_reduce(const Group& group, Reduce reduce, Buffer data, Label label) override;

  int rank() const override { return of_.rank(); }
  int size() const override { return of_.size(); }
  const Counters& counters() const override { return of_.counters(); }
  void reset_counters() override { of_.reset_counters(); }
  void poll() override { of_.poll(); }
  Pending start_send(const Group& group, int to, int tag, ConstBuffer data, Label label) override {
    return of_.start_send(group, to, tag, data, label);
  }
  Pending start_recv(const Group& group, int from, int tag, Buffer data, Label label) override {
    return of_.start_recv(group, from, tag, data, label);
  }
  Pending start_barrier(const Group& group, Label label) override {
    return of_.start_barrier(group, label);
  }
  Pending start_broadcast(const Group& group, int root, Buffer data, Label label) override {
    return of_.start_broadcast(group, root, data, label);
  }
  Pending start_all_gather(const Group& group, ConstBuffer in, Counts counts, Buffer out,
                           Label label) override {
    return of_.start_all_gather(group, in, counts, out, label);
  }
  Pending start_gather(const Group& group, int root, ConstBuffer in, Counts counts, Buffer out,
                       Label label) override {
    return of_.start_gather(group, root, in, counts, out, label);
  }
  Pending start_scatter(const Group& group, int root, ConstBuffer in, Counts counts, Buffer out,
                        Label label) override {
    return of_.start_scatter(group, root, in, counts, out, label);
  }
  Pending start_reduce_scatter(const Group& group, Reduce reduce, ConstBuffer in, Counts counts,
                               Buffer out, Label label) override {
    return of_.start_reduce_scatter(group, reduce, in, counts, out, label);
  }
  Pending start_hierarchical_all_reduce(const Group& inner, const Group& outer, Reduce reduce,
                                        Buffer data, Label label) override {
    return of_.start_hierarchical_all_reduce(inner, outer, reduce, data, label);
  }
  Pending start_all_to_all(const Group& group, ConstBuffer in, Counts send_counts, Buffer out,
                           Counts recv_counts, Label label) override {
    return of_.start_all_to_all(group, in, send_counts, out, recv_counts, label);
  }

 private:
  Communicator& of_;
  int node_ranks_;
};

}  // namespace ashlar::comm
