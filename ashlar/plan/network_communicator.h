// Counts what a rank would send, as comm::CountingCommunicator does, and says how long it would
// take on given links: collectives by playing them, on all ranks of the group at once.
#pragma once

#include "ashlar/comm/counting_communicator.h"
#include "ashlar/plan/network.h"

#include <cstddef>
#include <map>
#include <string>

namespace ashlar::plan {

class NetworkCommunicator final : public comm::CountingCommunicator {
 public:
  // Seconds of collectives that were played before. It and the network outlive the communicator.
  using Played = std::map<std::string, double>;
  NetworkCommunicator(int size, int rank, const Network& network, Played& played)
      : CountingCommunicator(size, rank), network_(network), played_(played) {}

  double seconds() const { return seconds_; }  // of all operations so far, one after another
  int64_t bytes_inside() const { return bytes_inside_; }  // sent to ranks of the same node

  comm::Pending start_send(const comm::Group& group, int to, int tag, comm::ConstBuffer data,
                           Label label) override;
  comm::Pending start_all_gather(const comm::Group& group, comm::ConstBuffer in, Counts counts,
                                 comm::Buffer out, Label label) override;
  comm::Pending start_reduce_scatter(const comm::Group& group, comm::Reduce reduce,
                                     comm::ConstBuffer in, Counts counts, comm::Buffer out,
                                     Label label) override;
  comm::Pending start_all_reduce(const comm::Group& group, comm::Reduce reduce, comm::Buffer data,
                                 Label label) override;
  comm::Pending start_hierarchical_all_reduce(const comm::Group& inner, const comm::Group& outer,
                                              comm::Reduce reduce, comm::Buffer data,
                                              Label label) override;
  comm::Pending start_all_to_all(const comm::Group& group, comm::ConstBuffer in, Counts send_counts,
                                 comm::Buffer out, Counts recv_counts, Label label) override;

 private:
  // append(program, i): the steps of the group's i-th rank, which is this one at `me`.
  template <typename Append>
  void play(const std::string& what, const comm::Group& group, int me, const Append& append);
  Network shared(const comm::Group& group) const;
  comm::Peers peers(const comm::Group& group, int index);
  std::byte* nowhere() { return &nowhere_; }  // that nobody reads

  const Network& network_;
  Played& played_;
  double seconds_ = 0;
  int64_t bytes_inside_ = 0;
  comm::Traffic uncounted_;
  std::byte nowhere_{};
};

}  // namespace ashlar::plan
