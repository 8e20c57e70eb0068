#include "ashlar/comm/counting_communicator.h"

#include "ashlar/comm/collectives.h"

namespace ashlar::comm {

// Tags tell messages apart, of which there are none.
Peers CountingCommunicator::peers(CommOp op, const Group& group) {
  return {group.ranks, std::vector<int>(group.ranks.size()), group.index,
          &counters_.entry(group.name, op)};
}

void CountingCommunicator::count(const Program& program) {
  for (const Step& step : program.steps()) {
    const auto* send = std::get_if<SendStep>(&step);
    if (send == nullptr) continue;
    send->traffic->bytes += static_cast<int64_t>(send->bytes);
    ++send->traffic->messages;
  }
}

Pending CountingCommunicator::start_send(const Group& group, int to, int, ConstBuffer data, Label) {
  Program program;
  program.send(peers(CommOp::kSend, group), to, nowhere(), data.bytes());
  count(program);
  return {};
}

Pending CountingCommunicator::start_recv(const Group&, int, int, Buffer, Label) { return {}; }

Pending CountingCommunicator::start_barrier(const Group& group, Label) {
  Program program;
  append_barrier(program, peers(CommOp::kBarrier, group));
  count(program);
  return {};
}

Pending CountingCommunicator::start_broadcast(const Group& group, int root, Buffer data, Label) {
  Program program;
  append_broadcast(program, peers(CommOp::kBroadcast, group), root,
                   {data.dtype, nowhere(), data.elements});
  count(program);
  return {};
}

Pending CountingCommunicator::start_all_gather(const Group& group, ConstBuffer in, Counts counts,
                                               Buffer, Label) {
  Program program;
  append_all_gather(program, peers(CommOp::kAllGather, group), in.dtype, nowhere(),
                    slices_of(counts), nowhere());
  count(program);
  return {};
}

Pending CountingCommunicator::start_gather(const Group& group, int root, ConstBuffer in,
                                           Counts counts, Buffer, Label) {
  Program program;
  append_gather(program, peers(CommOp::kGather, group), root, {in.dtype, nowhere(), in.elements},
                slices_of(counts), nowhere());
  count(program);
  return {};
}

Pending CountingCommunicator::start_scatter(const Group& group, int root, ConstBuffer,
                                            Counts counts, Buffer out, Label) {
  Program program;
  append_scatter(program, peers(CommOp::kScatter, group), root, nowhere(), slices_of(counts),
                 {out.dtype, nowhere(), out.elements});
  count(program);
  return {};
}

Pending CountingCommunicator::start_reduce_scatter(const Group& group, Reduce reduce,
                                                   ConstBuffer in, Counts counts, Buffer, Label) {
  Program program;
  append_reduce_scatter(program, peers(CommOp::kReduceScatter, group), reduce,
                        {in.dtype, nowhere(), in.elements}, slices_of(counts), nowhere());
  count(program);
  return {};
}

Pending CountingCommunicator::start_all_reduce(const Group& group, Reduce reduce, Buffer data,
                                               Label) {
  Program program;
  append_all_reduce(program, peers(CommOp::kAllReduce, group), reduce,
                    {data.dtype, nowhere(), data.elements});
  count(program);
  return {};
}

Pending CountingCommunicator::start_hierarchical_all_reduce(const Group& inner, const Group& outer,
                                                            Reduce reduce, Buffer data, Label) {
  Program program;
  append_hierarchical_all_reduce(program, peers(CommOp::kAllReduce, inner),
                                 peers(CommOp::kAllReduce, outer), reduce,
                                 {data.dtype, nowhere(), data.elements});
  count(program);
  return {};
}

Pending CountingCommunicator::start_all_to_all(const Group& group, ConstBuffer in,
                                               Counts send_counts, Buffer, Counts recv_counts,
                                               Label) {
  Program program;
  append_all_to_all(program, peers(CommOp::kAllToAll, group), in.dtype, nowhere(),
                    slices_of(send_counts), nowhere(), slices_of(recv_counts));
  count(program);
  return {};
}

}  // namespace ashlar::comm
