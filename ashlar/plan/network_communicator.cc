#include "ashlar/plan/network_communicator.h"

#include "ashlar/comm/collectives.h"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <span>
#include <variant>
#include <vector>

namespace ashlar::plan {

using comm::Group;
using comm::Peers;
using comm::Pending;

Peers NetworkCommunicator::peers(const Group& group, int index) {
  return {group.ranks, std::vector<int>(group.ranks.size()), index, &uncounted_};
}

// Of a group that has not all ranks of its nodes the others are taken to talk as much meanwhile.
Network NetworkCommunicator::shared(const Group& group) const {
  Network network = network_;
  if (network.node_ranks == 0) return network;
  const int here = network.node(rank());
  const auto mine =
      std::ranges::count_if(group.ranks, [&](int member) { return network.node(member) == here; });
  network.across.bandwidth *=
      static_cast<double>(mine) / std::min(network.node_ranks, std::max(size(), 1));
  return network;
}

template <typename Append>
void NetworkCommunicator::play(const std::string& what, const Group& group, int me,
                               const Append& append) {
  comm::Program mine;
  append(mine, me);
  for (const comm::Step& step : mine.steps()) {
    const auto* send = std::get_if<comm::SendStep>(&step);
    const bool inside = send != nullptr && network_.node(rank()) == network_.node(send->to);
    if (inside) bytes_inside_ += static_cast<int64_t>(send->bytes);
  }

  const auto [known, is_new] =
      played_.try_emplace(fmt::format("{} {}", what, fmt::join(group.ranks, ",")));
  if (is_new) {
    std::vector<RankProgram> programs;
    for (int i = 0; i < group.size(); ++i) {
      programs.push_back({group.ranks[static_cast<size_t>(i)], {}});
      append(programs.back().program, i);
    }
    known->second = play_collective(programs, shared(group));
  }
  seconds_ += known->second;
}

Pending NetworkCommunicator::start_send(const Group& group, int to, int tag, comm::ConstBuffer data,
                                        Label label) {
  const int there = group.ranks[static_cast<size_t>(to)];
  const Network network = shared(group);
  const bool across = network.node(rank()) != network.node(there);
  const auto bytes = static_cast<int64_t>(data.bytes());
  seconds_ += (across ? network.across : network.inside).transfer_time(bytes);
  if (!across) bytes_inside_ += bytes;
  return CountingCommunicator::start_send(group, to, tag, data, label);
}

Pending NetworkCommunicator::start_all_gather(const Group& group, comm::ConstBuffer in,
                                              Counts counts, comm::Buffer out, Label label) {
  const comm::Slices slices = comm::slices_of(counts);
  play(fmt::format("gather {} {}", name(in.dtype), fmt::join(counts, ",")), group, group.index,
       [&](comm::Program& program, int i) {
         append_all_gather(program, peers(group, i), in.dtype, nowhere(), slices, nowhere());
       });
  return CountingCommunicator::start_all_gather(group, in, counts, out, label);
}

Pending NetworkCommunicator::start_reduce_scatter(const Group& group, comm::Reduce reduce,
                                                  comm::ConstBuffer in, Counts counts,
                                                  comm::Buffer out, Label label) {
  const comm::Slices slices = comm::slices_of(counts);
  play(fmt::format("scatter {} {}", name(in.dtype), fmt::join(counts, ",")), group, group.index,
       [&](comm::Program& program, int i) {
         append_reduce_scatter(program, peers(group, i), reduce, {in.dtype, nowhere(), in.elements},
                               slices, nowhere());
       });
  return CountingCommunicator::start_reduce_scatter(group, reduce, in, counts, out, label);
}

Pending NetworkCommunicator::start_all_reduce(const Group& group, comm::Reduce reduce,
                                              comm::Buffer data, Label label) {
  play(
      fmt::format("sum {} {}", name(data.dtype), data.elements), group, group.index,
      [&](comm::Program& program, int i) {
        append_all_reduce(program, peers(group, i), reduce, {data.dtype, nowhere(), data.elements});
      });
  return CountingCommunicator::start_all_reduce(group, reduce, data, label);
}

// Ranks of one node and those in their places on the others, as comm::across_nodes has them: all
// nodes are alike, their ranks follow one another.
Pending NetworkCommunicator::start_hierarchical_all_reduce(const Group& inner, const Group& outer,
                                                           comm::Reduce reduce, comm::Buffer data,
                                                           Label label) {
  Group all{outer.name, {}, 0};
  for (const int there : outer.ranks) {
    for (const int mate : inner.ranks) all.ranks.push_back(mate + there - rank());
  }
  const int mates = inner.size();
  play(fmt::format("two levels {} {}", name(data.dtype), data.elements), all,
       outer.index * mates + inner.index, [&](comm::Program& program, int i) {
         Group near{inner.name, {}, i % mates}, far{outer.name, {}, i / mates};
         for (int k = 0; k < mates; ++k) {
           near.ranks.push_back(all.ranks[static_cast<size_t>(i - i % mates + k)]);
         }
         for (int k = 0; k < outer.size(); ++k) {
           far.ranks.push_back(all.ranks[static_cast<size_t>(k * mates + i % mates)]);
         }
         append_hierarchical_all_reduce(program, peers(near, near.index), peers(far, far.index),
                                        reduce, {data.dtype, nowhere(), data.elements});
       });
  return CountingCommunicator::start_hierarchical_all_reduce(inner, outer, reduce, data, label);
}

// As if all sent as much as this rank, to everybody alike.
Pending NetworkCommunicator::start_all_to_all(const Group& group, comm::ConstBuffer in,
                                              Counts send_counts, comm::Buffer out,
                                              Counts recv_counts, Label label) {
  const std::vector<int64_t> even = comm::even_counts(group, in.elements);
  const comm::Slices slices = comm::slices_of(even);
  play(fmt::format("exchange {} {}", name(in.dtype), in.elements), group, group.index,
       [&](comm::Program& program, int i) {
         const std::vector<int64_t> mine(even.size(), even[static_cast<size_t>(i)]);
         append_all_to_all(program, peers(group, i), in.dtype, nowhere(), slices, nowhere(),
                           comm::slices_of(mine));
       });
  return CountingCommunicator::start_all_to_all(group, in, send_counts, out, recv_counts, label);
}

}  // namespace ashlar::plan
