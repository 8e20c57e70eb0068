// What an operation would send is what it sends, by axis and kind, on every rank.
#include "ashlar/comm/counting_communicator.h"

#include "ashlar/comm/thread_ranks.h"

#include <gtest/gtest.h>

#include <numeric>
#include <vector>

namespace ashlar::comm {
namespace {

// Every operation once, of `n` elements; memory: enough for any of them.
void talk(Communicator& comm, int64_t n, std::span<float> memory) {
  const Group all = comm.world();
  const int p = all.size(), next = (all.index + 1) % p, before = (all.index + p - 1) % p;
  const Buffer data{DType::kF32, memory.data(), n};
  std::vector<int64_t> uneven;
  for (int i = 0; i < p; ++i) uneven.push_back(n + 3 * i);
  const int64_t total = std::accumulate(uneven.begin(), uneven.end(), int64_t{0});
  const Buffer whole{DType::kF32, memory.data(), total};
  float* const rest = memory.empty() ? nullptr : memory.data() + total;  // none is needed to count
  const Buffer mine{DType::kF32, rest, uneven[static_cast<size_t>(all.index)]};
  comm.barrier(all, "");
  comm.broadcast(all, 0, data, "");
  comm.all_gather(all, mine, uneven, whole, "");
  comm.gather(all, p - 1, mine, uneven, whole, "");
  comm.scatter(all, p - 1, whole, uneven, mine, "");
  comm.reduce_scatter(all, Reduce::kSum, whole, uneven, mine, "");
  comm.all_reduce(all, Reduce::kMax, data, "");
  const std::vector<int64_t> even(static_cast<size_t>(p), n);
  comm.all_to_all(all, {DType::kF32, memory.data(), n * p}, even, {DType::kF32, rest, n * p}, even,
                  "");
  if (p == 1) return;
  Pending sent = comm.start_send(all, next, 1, data, "");
  comm.recv(all, before, 1, {DType::kF32, rest, n}, "");
  sent.wait();
}

TEST(CountingCommunicator, CountsWhatTheRealOneSends) {
  for (const int p : {1, 2, 3, 5, 8}) {
    for (const int64_t n : {0, 1, 7, 4099, 300'001}) {
      run_ranks(p, [&](Communicator& comm) {
        std::vector<float> memory(static_cast<size_t>(2 * p * (n + 3 * p)));
        talk(comm, n, memory);
        CountingCommunicator counting(p, comm.rank());
        talk(counting, n, {});
        ASSERT_EQ(counting.counters().entries().size() + (p > 1 ? 1 : 0),
                  comm.counters().entries().size());  // the real one counts receives
        for (const auto& [key, traffic] : counting.counters().entries()) {
          const Traffic real = comm.counters().of(key.first, key.second);
          EXPECT_EQ(traffic.bytes, real.bytes) << name(key.second) << " of " << n << " over " << p;
          EXPECT_EQ(traffic.messages, real.messages) << name(key.second);
        }
      });
    }
  }
}

}  // namespace
}  // namespace ashlar::comm
