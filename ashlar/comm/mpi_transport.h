// Messages between processes by MPI. Only in builds that have it.
#pragma once

#include "ashlar/comm/transport.h"

#include <mpi.h>

namespace ashlar::comm {

class MpiTransport final : public Transport {
 public:
  explicit MpiTransport(MPI_Comm job);  // makes a communicator of its own from it
  ~MpiTransport() override;
  MpiTransport(const MpiTransport&) = delete;
  MpiTransport& operator=(const MpiTransport&) = delete;

  int rank() const override { return rank_; }
  int size() const override { return size_; }
  std::unique_ptr<Request> send(int to, int tag, const std::byte* data, size_t bytes,
                                std::string_view what) override;
  std::unique_ptr<Request> recv(int from, int tag, std::byte* data, size_t bytes,
                                std::string_view what) override;
  bool done(Request& request) override;
  void check_job() override {}  // the launcher ends the others when a rank dies
  uint64_t events() override { return 0; }
  void sleep(uint64_t events, double seconds) override;
  void set_wait(const Wait& wait) override { wait_ = wait; }
  Wait ask(int rank) override;

 private:
  void answer();

  MPI_Comm comm_ = MPI_COMM_NULL;
  int rank_ = 0, size_ = 1;
  int idle_ = 0;  // sleeps since a message moved
  Wait wait_;
};

}  // namespace ashlar::comm
