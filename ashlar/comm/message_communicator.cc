#include "ashlar/comm/message_communicator.h"

#include "ashlar/base/error.h"
#include "ashlar/comm/collectives.h"
#include "ashlar/comm/operation.h"
#include "ashlar/comm/reduction.h"

#include <algorithm>
#include <numeric>

namespace ashlar::comm {
namespace {

std::byte* bytes_of(Buffer buffer) { return static_cast<std::byte*>(buffer.data); }
const std::byte* bytes_of(ConstBuffer buffer) { return static_cast<const std::byte*>(buffer.data); }

void check_counts(const std::string& what, const Group& group, Communicator::Counts counts) {
  ASHLAR_CHECK(counts.size() == group.ranks.size(), "{}: {} counts for {} ranks", what,
               counts.size(), group.ranks.size());
  for (const int64_t count : counts)
    ASHLAR_CHECK(count >= 0, "{}: a count of {} is negative", what, count);
}

void check_elements(const std::string& what, std::string_view buffer, int64_t found,
                    int64_t wanted) {
  ASHLAR_CHECK(found == wanted, "{}: {} has {} elements, the counts say {}", what, buffer, found,
               wanted);
}

void check_root(const std::string& what, const Group& group, int root) {
  ASHLAR_CHECK(root >= 0 && root < group.size(), "{}: root {} is not in [0, {})", what, root,
               group.size());
}

int64_t sum(Communicator::Counts counts) {
  return std::accumulate(counts.begin(), counts.end(), int64_t{0});
}

int64_t own(const Group& group, Communicator::Counts counts) {
  return counts[static_cast<size_t>(group.index)];
}

void check_dtypes(const std::string& what, ConstBuffer in, ConstBuffer out) {
  ASHLAR_CHECK(in.dtype == out.dtype, "{}: in is {}, out is {}: they must be the same", what,
               ashlar::name(in.dtype), ashlar::name(out.dtype));
}

}  // namespace

std::vector<int64_t> even_counts(const Group& group, int64_t n) {
  std::vector<int64_t> counts;
  for (int i = 0; i < group.size(); ++i) counts.push_back(slice_of(n, group.size(), i).length);
  return counts;
}

MessageCommunicator::MessageCommunicator(Transport& transport, const CommOptions& options)
    : transport_(transport),
      options_(options),
      collectives_(static_cast<size_t>(transport.size())) {
  ASHLAR_CHECK(options.timeout_s > 0, "comm.timeout: {} is not positive", options.timeout_s);
}

std::string MessageCommunicator::describe(CommOp op, const Group& group, Label label) const {
  return fmt::format("{} '{}' on axis {}", comm::name(op), label, group.name);
}

Peers MessageCommunicator::peers(CommOp op, const Group& group, const std::string& what) {
  const auto index = static_cast<size_t>(group.index);
  ASHLAR_CHECK(index < group.ranks.size() && group.ranks[index] == rank(),
               "{}: rank {} is not member {} of the group: make the group on this rank", what,
               rank(), group.index);
  Peers result{group.ranks, {}, group.index, &counters_.entry(group.name, op)};
  for (const int other : group.ranks) {
    ASHLAR_CHECK(other >= 0 && other < size(), "{}: rank {} of the group is not in [0, {})", what,
                 other, size());
    int& next = collectives_[static_cast<size_t>(other)];
    result.tags.push_back(kTags + next);
    next = (next + 1) % (Transport::kTags - kTags);
  }
  return result;
}

Peers MessageCommunicator::one_peer(CommOp op, const Group& group, int other, int tag,
                                    const std::string& what) {
  ASHLAR_CHECK(other >= 0 && other < group.size() && other != group.index,
               "{}: the other rank is {}: it must be in [0, {}) and not this one, {}", what, other,
               group.size(), group.index);
  ASHLAR_CHECK(tag >= 0 && tag < kTags, "{}: tag {} is not in [0, {})", what, tag, kTags);
  return {{group.ranks[static_cast<size_t>(other)]}, {tag}, 0, &counters_.entry(group.name, op)};
}

Pending MessageCommunicator::start(Program program, Traffic& traffic, std::string what) {
  auto operation = std::make_unique<Operation>(*this, std::move(program), traffic, std::move(what));
  poll();
  return Pending(std::move(operation));
}

void MessageCommunicator::poll() {
  transport_.check_job();
  for (Operation* operation : under_way_) operation->advance();
  std::erase_if(under_way_, [](const Operation* operation) { return operation->finished(); });
}

void MessageCommunicator::wait(Operation& operation) {
  double now = clock_.now(), moved = now;
  int told = -1;  // the rank that others know to be awaited
  while (!operation.finished()) {
    const uint64_t seen = transport_.events();
    Traffic& waiting = operation.waiting_for();
    const int64_t before = operation.moves();
    poll();
    if (operation.moves() != before) {
      moved = now;
    } else if (!operation.finished()) {
      const int awaited = operation.awaited_rank();
      if (awaited != told) transport_.set_wait({awaited, operation.what()});
      told = awaited;
      if (now - moved > options_.timeout_s) fail_waiting(operation);
      transport_.sleep(seen, moved + options_.timeout_s - now + 1e-3);
    }
    const double then = now;
    now = clock_.now();
    waiting.seconds_waited += now - then;
  }
  if (told >= 0) transport_.set_wait({});
}

// The rank awaited may itself wait for another: follows that chain to its end.
void MessageCommunicator::fail_waiting(const Operation& operation) {
  int suspect = operation.awaited_rank();
  std::string chain = fmt::format("rank {}", suspect);
  std::vector<int> seen = {rank()};
  while (std::ranges::find(seen, suspect) == seen.end()) {
    seen.push_back(suspect);
    const Transport::Wait wait = transport_.ask(suspect);
    if (wait.rank < 0)
      fail(
          "{} waited {} s for {}; rank {} waits for nobody: it is lost, or slower than "
          "comm.timeout",
          operation.what(), options_.timeout_s, chain, suspect);
    chain += fmt::format(", which waits in {} for rank {}", wait.what, wait.rank);
    suspect = wait.rank;
  }
  fail("{} waited {} s for {}: they wait for each other, so their operations differ in order",
       operation.what(), options_.timeout_s, chain);
}

Pending MessageCommunicator::start_send(const Group& group, int to, int tag, ConstBuffer data,
                                        Label label) {
  std::string what = describe(CommOp::kSend, group, label);
  const Peers peer = one_peer(CommOp::kSend, group, to, tag, what);
  Program program;
  program.send(peer, 0, bytes_of(data), data.bytes());
  program.await_all();
  return start(std::move(program), *peer.traffic, std::move(what));
}

Pending MessageCommunicator::start_recv(const Group& group, int from, int tag, Buffer data,
                                        Label label) {
  std::string what = describe(CommOp::kRecv, group, label);
  const Peers peer = one_peer(CommOp::kRecv, group, from, tag, what);
  Program program;
  program.recv(peer, 0, bytes_of(data), data.bytes());
  program.await_all();
  return start(std::move(program), *peer.traffic, std::move(what));
}

Pending MessageCommunicator::start_barrier(const Group& group, Label label) {
  std::string what = describe(CommOp::kBarrier, group, label);
  const Peers all = peers(CommOp::kBarrier, group, what);
  Program program;
  append_barrier(program, all);
  return start(std::move(program), *all.traffic, std::move(what));
}

Pending MessageCommunicator::start_broadcast(const Group& group, int root, Buffer data,
                                             Label label) {
  std::string what = describe(CommOp::kBroadcast, group, label);
  check_root(what, group, root);
  const Peers all = peers(CommOp::kBroadcast, group, what);
  Program program;
  append_broadcast(program, all, root, data);
  return start(std::move(program), *all.traffic, std::move(what));
}

Pending MessageCommunicator::start_all_gather(const Group& group, ConstBuffer in, Counts counts,
                                              Buffer out, Label label) {
  std::string what = describe(CommOp::kAllGather, group, label);
  check_counts(what, group, counts);
  check_dtypes(what, in, out);
  check_elements(what, "in", in.elements, own(group, counts));
  check_elements(what, "out", out.elements, sum(counts));
  const Peers all = peers(CommOp::kAllGather, group, what);
  Program program;
  append_all_gather(program, all, in.dtype, bytes_of(in), slices_of(counts), bytes_of(out));
  return start(std::move(program), *all.traffic, std::move(what));
}

Pending MessageCommunicator::start_gather(const Group& group, int root, ConstBuffer in,
                                          Counts counts, Buffer out, Label label) {
  std::string what = describe(CommOp::kGather, group, label);
  check_counts(what, group, counts);
  check_root(what, group, root);
  check_elements(what, "in", in.elements, own(group, counts));
  if (group.index == root) {
    check_dtypes(what, in, out);
    check_elements(what, "out", out.elements, sum(counts));
  }
  const Peers all = peers(CommOp::kGather, group, what);
  Program program;
  append_gather(program, all, root, in, slices_of(counts), bytes_of(out));
  return start(std::move(program), *all.traffic, std::move(what));
}

Pending MessageCommunicator::start_scatter(const Group& group, int root, ConstBuffer in,
                                           Counts counts, Buffer out, Label label) {
  std::string what = describe(CommOp::kScatter, group, label);
  check_counts(what, group, counts);
  check_root(what, group, root);
  check_elements(what, "out", out.elements, own(group, counts));
  if (group.index == root) {
    check_dtypes(what, in, out);
    check_elements(what, "in", in.elements, sum(counts));
  }
  const Peers all = peers(CommOp::kScatter, group, what);
  Program program;
  append_scatter(program, all, root, bytes_of(in), slices_of(counts), out);
  return start(std::move(program), *all.traffic, std::move(what));
}

Pending MessageCommunicator::start_reduce_scatter(const Group& group, Reduce reduce, ConstBuffer in,
                                                  Counts counts, Buffer out, Label label) {
  std::string what = describe(CommOp::kReduceScatter, group, label);
  check_counts(what, group, counts);
  check_dtypes(what, in, out);
  check_reducible(in.dtype);
  check_elements(what, "in", in.elements, sum(counts));
  check_elements(what, "out", out.elements, own(group, counts));
  const Peers all = peers(CommOp::kReduceScatter, group, what);
  Program program;
  append_reduce_scatter(program, all, reduce, in, slices_of(counts), bytes_of(out));
  return start(std::move(program), *all.traffic, std::move(what));
}

Pending MessageCommunicator::start_all_reduce(const Group& group, Reduce reduce, Buffer data,
                                              Label label) {
  std::string what = describe(CommOp::kAllReduce, group, label);
  check_reducible(data.dtype);
  const Peers all = peers(CommOp::kAllReduce, group, what);
  Program program;
  append_all_reduce(program, all, reduce, data);
  return start(std::move(program), *all.traffic, std::move(what));
}

Pending MessageCommunicator::start_hierarchical_all_reduce(const Group& inner, const Group& outer,
                                                           Reduce reduce, Buffer data,
                                                           Label label) {
  std::string what = describe(CommOp::kAllReduce, outer, label);
  check_reducible(data.dtype);
  for (const int other : inner.ranks)
    ASHLAR_CHECK(other == rank() || std::ranges::find(outer.ranks, other) == outer.ranks.end(),
                 "{}: rank {} is in both groups: they must cross in this rank only", what, other);
  const Peers near = peers(CommOp::kAllReduce, inner, what);
  const Peers far = peers(CommOp::kAllReduce, outer, what);
  Program program;
  append_hierarchical_all_reduce(program, near, far, reduce, data);
  return start(std::move(program), *far.traffic, std::move(what));
}

Pending MessageCommunicator::start_all_to_all(const Group& group, ConstBuffer in,
                                              Counts send_counts, Buffer out, Counts recv_counts,
                                              Label label) {
  std::string what = describe(CommOp::kAllToAll, group, label);
  check_counts(what, group, send_counts);
  check_counts(what, group, recv_counts);
  check_dtypes(what, in, out);
  check_elements(what, "in", in.elements, sum(send_counts));
  check_elements(what, "out", out.elements, sum(recv_counts));
  ASHLAR_CHECK(own(group, send_counts) == own(group, recv_counts),
               "{}: this rank sends itself {} elements but expects {}", what,
               own(group, send_counts), own(group, recv_counts));
  const Peers all = peers(CommOp::kAllToAll, group, what);
  Program program;
  append_all_to_all(program, all, in.dtype, bytes_of(in), slices_of(send_counts), bytes_of(out),
                    slices_of(recv_counts));
  return start(std::move(program), *all.traffic, std::move(what));
}

}  // namespace ashlar::comm
