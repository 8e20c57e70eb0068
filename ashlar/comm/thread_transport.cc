#include "ashlar/comm/thread_transport.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <chrono>
#include <cstring>

namespace ashlar::comm {

// A message has a sender's and a receiver's end. Whichever comes second links the two; the receiver
// then copies. Either end unlinks itself if it is given up.
struct ThreadSend final : Transport::Request {
  enum class State : uint8_t { kWaiting, kBeingCopied, kDone };

  ThreadSend(ThreadWorld& w, int f, int t, int g, const std::byte* d, size_t b, std::string_view o)
      : world(w), from(f), to(t), tag(g), data(d), bytes(b), what(o) {}
  ~ThreadSend() override;

  ThreadWorld& world;
  int from, to, tag;
  const std::byte* data;
  size_t bytes;
  std::string_view what;
  State state = State::kWaiting;
  ThreadRecv* receiver = nullptr;
};

struct ThreadRecv final : Transport::Request {
  ThreadRecv(ThreadWorld& w, int f, int t, int g, std::byte* d, size_t b, std::string_view o)
      : world(w), from(f), to(t), tag(g), data(d), bytes(b), what(o) {}
  ~ThreadRecv() override;

  ThreadWorld& world;
  int from, to, tag;
  std::byte* data;
  size_t bytes;
  std::string_view what;
  ThreadSend* sender = nullptr;
  bool finished = false;
};

ThreadSend::~ThreadSend() {
  std::unique_lock lock(world.mutex_);
  // The memory may go away after this: let the receiver finish with it.
  world.box(from).changed.wait(lock, [&] { return state != State::kBeingCopied; });
  if (state == State::kDone) return;
  if (receiver != nullptr)
    receiver->sender = nullptr;
  else
    world.box(to).arrived.remove(this);
}

ThreadRecv::~ThreadRecv() {
  const std::lock_guard lock(world.mutex_);
  if (finished) return;
  if (sender != nullptr)
    sender->receiver = nullptr;
  else
    world.box(to).expected.remove(this);
}

void ThreadWorld::fail(int rank, const std::string& message, int exit_code) {
  const std::lock_guard lock(mutex_);
  if (failed_rank_ < 0) {
    failed_rank_ = rank;
    failure_ = message;
    failure_code_ = exit_code;
  }
  for (int other = 0; other < size(); ++other) notify(other);
}

void ThreadWorld::end(int rank) {
  const std::lock_guard lock(mutex_);
  box(rank).ended = true;
  for (int other = 0; other < size(); ++other) notify(other);
}

void ThreadWorld::rethrow_failure() const {
  const std::lock_guard lock(mutex_);
  if (failed_rank_ >= 0)
    throw Error(fmt::format("rank {}: {}", failed_rank_, failure_), failure_code_);
}

void ThreadWorld::notify(int rank) {
  ++box(rank).events;
  box(rank).changed.notify_all();
}

void ThreadWorld::check_failure() const {
  ASHLAR_CHECK(failed_rank_ < 0, "rank {} failed: {}", failed_rank_, failure_);
}

std::unique_ptr<Transport::Request> ThreadTransport::send(int to, int tag, const std::byte* data,
                                                          size_t bytes, std::string_view what) {
  auto send = std::make_unique<ThreadSend>(world_, rank_, to, tag, data, bytes, what);
  const std::lock_guard lock(world_.mutex_);
  ThreadWorld::Box& box = world_.box(to);
  const auto match = std::ranges::find_if(box.expected, [&](const ThreadRecv* recv) {
    return recv->from == rank_ && recv->tag == tag;
  });
  if (match == box.expected.end()) {
    box.arrived.push_back(send.get());
  } else {
    send->receiver = *match;
    (*match)->sender = send.get();
    box.expected.erase(match);
    world_.notify(to);
  }
  return send;
}

std::unique_ptr<Transport::Request> ThreadTransport::recv(int from, int tag, std::byte* data,
                                                          size_t bytes, std::string_view what) {
  auto recv = std::make_unique<ThreadRecv>(world_, from, rank_, tag, data, bytes, what);
  const std::lock_guard lock(world_.mutex_);
  ThreadWorld::Box& box = world_.box(rank_);
  const auto match = std::ranges::find_if(
      box.arrived, [&](const ThreadSend* send) { return send->from == from && send->tag == tag; });
  if (match == box.arrived.end()) {
    box.expected.push_back(recv.get());
  } else {
    recv->sender = *match;
    (*match)->receiver = recv.get();
    box.arrived.erase(match);
  }
  return recv;
}

bool ThreadTransport::done(Request& request) {
  if (auto* recv = dynamic_cast<ThreadRecv*>(&request)) return done(*recv);
  return done(dynamic_cast<ThreadSend&>(request));
}

bool ThreadTransport::done(ThreadSend& send) {
  const std::lock_guard lock(world_.mutex_);
  if (send.state == ThreadSend::State::kDone) return true;
  world_.check_failure();
  ASHLAR_CHECK(!world_.box(send.to).ended, "{}: rank {} ended without receiving it", send.what,
               send.to);
  return false;
}

bool ThreadTransport::done(ThreadRecv& recv) {
  std::unique_lock lock(world_.mutex_);
  if (recv.finished) return true;
  world_.check_failure();
  ThreadSend* send = recv.sender;
  if (send == nullptr) {
    ASHLAR_CHECK(!world_.box(recv.from).ended, "{}: rank {} ended without sending", recv.what,
                 recv.from);
    return false;
  }
  ASHLAR_CHECK(send->bytes == recv.bytes,
               "{}: rank {} sends {} bytes in {}, wanted {}: the ranks disagree about the order or "
               "the size of operations",
               recv.what, recv.from, send->bytes, send->what, recv.bytes);
  send->state = ThreadSend::State::kBeingCopied;
  lock.unlock();
  if (recv.bytes > 0) std::memcpy(recv.data, send->data, recv.bytes);
  lock.lock();
  send->state = ThreadSend::State::kDone;
  recv.finished = true;
  world_.notify(recv.from);
  return true;
}

void ThreadTransport::check_job() {
  const std::lock_guard lock(world_.mutex_);
  world_.check_failure();
}

uint64_t ThreadTransport::events() {
  const std::lock_guard lock(world_.mutex_);
  return world_.box(rank_).events;
}

void ThreadTransport::sleep(uint64_t events, double seconds) {
  std::unique_lock lock(world_.mutex_);
  ThreadWorld::Box& box = world_.box(rank_);
  box.changed.wait_for(lock, std::chrono::duration<double>(seconds),
                       [&] { return box.events != events; });
}

void ThreadTransport::set_wait(const Wait& wait) {
  const std::lock_guard lock(world_.mutex_);
  world_.box(rank_).wait = wait;
}

Transport::Wait ThreadTransport::ask(int rank) {
  const std::lock_guard lock(world_.mutex_);
  return world_.box(rank).wait;
}

}  // namespace ashlar::comm
