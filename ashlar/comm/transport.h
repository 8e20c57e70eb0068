// What a backend provides: tagged messages between two ranks that start at once and end later.
// Messages of one sender, receiver and tag match in the order in which they were started.
#pragma once

#include <cstddef>
#include <cstdint>
#include <memory>
#include <string>
#include <string_view>

namespace ashlar::comm {

class Transport {
 public:
  // A message under way. Destroying one that is not done gives it up.
  class Request {
   public:
    virtual ~Request() = default;
  };
  // At which operation a rank waits for which other.
  struct Wait {
    int rank = -1;  // nobody
    std::string what = "";
  };
  static constexpr int kTags = 1 << 23;

  virtual ~Transport() = default;
  virtual int rank() const = 0;
  virtual int size() const = 0;

  // The memory stays as it is until the request is done; `what` (the operation, for errors) too.
  virtual std::unique_ptr<Request> send(int to, int tag, const std::byte* data, size_t bytes,
                                        std::string_view what) = 0;
  virtual std::unique_ptr<Request> recv(int from, int tag, std::byte* data, size_t bytes,
                                        std::string_view what) = 0;
  // Moves the message on and says whether it is done. Throws if sizes differ or the job has failed.
  virtual bool done(Request& request) = 0;
  // Throws if the job has failed.
  virtual void check_job() = 0;

  // To wait: read events(), see that what is awaited is not done, then sleep until events() differs
  // or `seconds` are over (or earlier: callers loop).
  virtual uint64_t events() = 0;
  virtual void sleep(uint64_t events, double seconds) = 0;

  // What this rank waits for, to be told to ranks that ask; what another says of itself. A rank
  // that computes, or does not answer soon, waits for nobody.
  virtual void set_wait(const Wait& wait) = 0;
  virtual Wait ask(int rank) = 0;
};

}  // namespace ashlar::comm
