#include "tests/comm/process_ranks.h"

#include "ashlar/base/error.h"
#include "ashlar/comm/message_communicator.h"
#include "ashlar/comm/transport.h"

#include <poll.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstdio>
#include <cstring>
#include <deque>
#include <list>

namespace ashlar::comm::testing {
namespace {

using Bytes = std::vector<std::byte>;

struct Header {
  int64_t tag, bytes;
};

struct Sent final : Transport::Request {
  bool done = false;
};

struct Awaited final : Transport::Request {
  ~Awaited() override {
    if (list != nullptr) list->remove(this);
  }
  std::list<Awaited*>* list = nullptr;
  int from = 0, tag = 0;
  std::byte* data = nullptr;
  size_t bytes = 0;
  bool done = false;
};

// The other end of one socket.
struct Peer {
  int fd = -1;
  bool gone = false;
  std::deque<Bytes> out;  // not yet taken by the system; the first one from `written`
  size_t written = 0;
  Bytes in;
  std::list<std::pair<int64_t, Bytes>> arrived;  // that nobody asked for yet
  std::list<Awaited*> expected;
};

class SocketTransport final : public Transport {
 public:
  SocketTransport(int rank, const std::vector<int>& sockets) : rank_(rank) {
    for (const int fd : sockets) peers_.emplace_back().fd = fd;
  }

  int rank() const override { return rank_; }
  int size() const override { return static_cast<int>(peers_.size()); }

  std::unique_ptr<Request> send(int to, int tag, const std::byte* data, size_t bytes,
                                std::string_view) override {
    Bytes message(sizeof(Header) + bytes);
    const Header header{tag, static_cast<int64_t>(bytes)};
    std::memcpy(message.data(), &header, sizeof header);
    if (bytes > 0) std::memcpy(message.data() + sizeof header, data, bytes);
    peer(to).out.push_back(std::move(message));
    pump();
    return std::make_unique<Sent>();  // copied: the caller may go on
  }

  std::unique_ptr<Request> recv(int from, int tag, std::byte* data, size_t bytes,
                                std::string_view) override {
    auto awaited = std::make_unique<Awaited>();
    awaited->from = from;
    awaited->tag = tag;
    awaited->data = data;
    awaited->bytes = bytes;
    Peer& sender = peer(from);
    const auto match =
        std::ranges::find(sender.arrived, tag, [](const auto& m) { return m.first; });
    if (match != sender.arrived.end()) {
      deliver(*awaited, match->second);
      sender.arrived.erase(match);
    } else {
      awaited->list = &sender.expected;
      sender.expected.push_back(awaited.get());
    }
    return awaited;
  }

  bool done(Request& request) override {
    pump();
    const auto* awaited = dynamic_cast<Awaited*>(&request);
    if (awaited == nullptr || awaited->done) return true;
    ASHLAR_CHECK(!peer(awaited->from).gone, "rank {} is gone", awaited->from);
    return false;
  }

  void check_job() override {}
  uint64_t events() override { return 0; }
  void sleep(uint64_t, double seconds) override {
    std::vector<pollfd> fds;
    for (const Peer& peer : peers_) {
      if (peer.fd < 0 || peer.gone) continue;
      const int wanted = POLLIN | (peer.out.empty() ? 0 : POLLOUT);
      fds.push_back({peer.fd, static_cast<short>(wanted), 0});
    }
    ::poll(fds.data(), fds.size(), static_cast<int>(std::min(seconds, 1.0) * 1000) + 1);
  }
  void set_wait(const Wait&) override {}
  Wait ask(int) override { return {}; }

  // What was sent reaches the system before this rank ends.
  void flush() {
    const auto full = [](const Peer& peer) { return !peer.out.empty() && !peer.gone; };
    for (pump(); std::ranges::any_of(peers_, full); pump()) sleep(0, 1);
  }

 private:
  Peer& peer(int rank) { return peers_[static_cast<size_t>(rank)]; }

  static void deliver(Awaited& awaited, const Bytes& message) {
    ASHLAR_CHECK(message.size() == awaited.bytes, "a message of {} bytes, wanted {}",
                 message.size(), awaited.bytes);
    if (!message.empty()) std::memcpy(awaited.data, message.data(), message.size());
    awaited.done = true;
    awaited.list = nullptr;
  }

  void pump() {
    for (Peer& peer : peers_) {
      if (peer.fd < 0) continue;
      write_out(peer);
      read_in(peer);
    }
  }

  static void write_out(Peer& peer) {
    while (!peer.out.empty() && !peer.gone) {
      const Bytes& message = peer.out.front();
      const ssize_t taken = ::send(peer.fd, message.data() + peer.written,
                                   message.size() - peer.written, MSG_DONTWAIT | MSG_NOSIGNAL);
      if (taken < 0) {
        peer.gone = errno != EAGAIN && errno != EINTR;
        return;
      }
      peer.written += static_cast<size_t>(taken);
      if (peer.written < message.size()) return;
      peer.out.pop_front();
      peer.written = 0;
    }
  }

  static void read_in(Peer& peer) {
    std::byte chunk[65536];
    for (;;) {
      const ssize_t got = ::recv(peer.fd, chunk, sizeof chunk, MSG_DONTWAIT);
      if (got <= 0) {
        if (got == 0 || (errno != EAGAIN && errno != EINTR)) peer.gone = true;
        break;
      }
      peer.in.insert(peer.in.end(), chunk, chunk + got);
    }
    Header header{};
    while (peer.in.size() >= sizeof header) {
      std::memcpy(&header, peer.in.data(), sizeof header);
      const size_t end = sizeof header + static_cast<size_t>(header.bytes);
      if (peer.in.size() < end) break;
      const auto begin = peer.in.begin();
      const Bytes message(begin + sizeof header, begin + static_cast<std::ptrdiff_t>(end));
      peer.in.erase(begin, begin + static_cast<std::ptrdiff_t>(end));
      const auto match = std::ranges::find(peer.expected, header.tag,
                                           [](const Awaited* a) { return int64_t{a->tag}; });
      if (match == peer.expected.end()) {
        peer.arrived.emplace_back(header.tag, message);
      } else {
        Awaited& awaited = **match;
        peer.expected.erase(match);
        deliver(awaited, message);
      }
    }
  }

  int rank_;
  std::vector<Peer> peers_;
};

}  // namespace

std::vector<ashlar::testing::ChildEnd> run_process_ranks(
    int n, const std::function<void(Communicator&)>& f) {
  const auto ranks = static_cast<size_t>(n);
  std::vector<std::vector<int>> sockets(ranks, std::vector<int>(ranks, -1));
  for (size_t a = 0; a < ranks; ++a) {
    for (size_t b = 0; b < a; ++b) {
      int pair[2];
      ASHLAR_CHECK(::socketpair(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0, pair) == 0, "no socket");
      sockets[a][b] = pair[0];
      sockets[b][a] = pair[1];
    }
  }
  std::fflush(nullptr);
  std::vector<pid_t> children;
  for (size_t rank = 0; rank < ranks; ++rank) {
    children.push_back(::fork());
    if (children.back() != 0) continue;
    // A socket ends when nobody else has it open.
    for (size_t other = 0; other < ranks; ++other) {
      for (const int fd : sockets[other]) {
        if (other != rank && fd >= 0) ::close(fd);
      }
    }
    try {
      SocketTransport transport(static_cast<int>(rank), sockets[rank]);
      MessageCommunicator communicator(transport);
      f(communicator);
      transport.flush();
    } catch (const std::exception& error) {
      ::_exit(99);
    }
    ::_exit(0);
  }
  for (const auto& row : sockets) {
    for (const int fd : row) {
      if (fd >= 0) ::close(fd);
    }
  }
  std::vector<ashlar::testing::ChildEnd> ends;
  for (const pid_t child : children) {
    int status = 0;
    ::waitpid(child, &status, 0);
    ends.push_back({.exit_code = WIFEXITED(status) ? WEXITSTATUS(status) : -1,
                    .signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0});
  }
  return ends;
}

}  // namespace ashlar::comm::testing
