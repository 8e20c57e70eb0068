// The mailboxes of ranks that are threads of one process, and the Transport over them.
#pragma once

#include "ashlar/comm/transport.h"

#include <condition_variable>
#include <list>
#include <mutex>
#include <string>
#include <vector>

namespace ashlar::comm {

struct ThreadSend;
struct ThreadRecv;

// What all ranks of a job share. One mutex guards it; memory is copied outside of it.
class ThreadWorld {
 public:
  explicit ThreadWorld(int ranks) : boxes_(static_cast<size_t>(ranks)) {}

  int size() const { return static_cast<int>(boxes_.size()); }
  void fail(int rank, const std::string& message, int exit_code);  // the first one counts
  void end(int rank);                                              // this rank came to its end
  void rethrow_failure() const;                                    // when all have ended

 private:
  friend class ThreadTransport;
  friend struct ThreadSend;
  friend struct ThreadRecv;

  struct Box {  // one rank's
    std::condition_variable changed;
    uint64_t events = 0;
    std::list<ThreadSend*> arrived;   // for this rank, that no receive has asked for
    std::list<ThreadRecv*> expected;  // receives of this rank whose message has not come
    Transport::Wait wait;
    bool ended = false;
  };

  Box& box(int rank) { return boxes_[static_cast<size_t>(rank)]; }
  void notify(int rank);
  void check_failure() const;

  mutable std::mutex mutex_;
  std::vector<Box> boxes_;
  int failed_rank_ = -1;
  std::string failure_;
  int failure_code_ = 1;
};

class ThreadTransport final : public Transport {
 public:
  ThreadTransport(ThreadWorld& world, int rank) : world_(world), rank_(rank) {}

  int rank() const override { return rank_; }
  int size() const override { return world_.size(); }
  std::unique_ptr<Request> send(int to, int tag, const std::byte* data, size_t bytes,
                                std::string_view what) override;
  std::unique_ptr<Request> recv(int from, int tag, std::byte* data, size_t bytes,
                                std::string_view what) override;
  bool done(Request& request) override;
  void check_job() override;
  uint64_t events() override;
  void sleep(uint64_t events, double seconds) override;
  void set_wait(const Wait& wait) override;
  Wait ask(int rank) override;

 private:
  bool done(ThreadSend& send);
  bool done(ThreadRecv& recv);

  ThreadWorld& world_;
  int rank_;
};

}  // namespace ashlar::comm
