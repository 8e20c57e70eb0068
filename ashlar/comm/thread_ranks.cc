#include "ashlar/comm/thread_ranks.h"

#include "ashlar/base/error.h"
#include "ashlar/comm/message_communicator.h"
#include "ashlar/comm/thread_transport.h"

#include <exception>
#include <thread>
#include <vector>

namespace ashlar::comm {
namespace {

void run_rank(ThreadWorld& world, int rank, const std::function<void(Communicator&)>& f,
              const CommOptions& options) {
  try {
    ThreadTransport transport(world, rank);
    MessageCommunicator communicator(transport, options);
    f(communicator);
  } catch (const Error& error) {
    world.fail(rank, error.what(), error.exit_code());
  } catch (const std::exception& error) {
    world.fail(rank, error.what(), 1);
  } catch (...) {
    world.fail(rank, "threw something that is no std::exception", 1);
  }
  world.end(rank);
}

}  // namespace

void run_ranks(int n, const std::function<void(Communicator&)>& f, const CommOptions& options) {
  ASHLAR_CHECK(n >= 1, "ranks: {} is not positive", n);
  ThreadWorld world(n);
  {
    std::vector<std::jthread> threads;
    for (int rank = 0; rank < n; ++rank)
      threads.emplace_back([&, rank] { run_rank(world, rank, f, options); });
  }
  world.rethrow_failure();
}

}  // namespace ashlar::comm
