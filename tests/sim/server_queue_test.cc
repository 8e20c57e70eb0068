#include "ashlar/sim/server_queue.h"

#include "ashlar/base/philox.h"

#include <gtest/gtest.h>

#include <cmath>
#include <cstdint>
#include <functional>

namespace ashlar::sim {
namespace {

constexpr int64_t kJobs = 1'000'000;

double exponential(const RandomStream& stream, int64_t i, double rate) {
  const double uniform =
      (static_cast<double>(stream.bits(static_cast<uint64_t>(i))) + 0.5) * 0x1.0p-32;
  return -std::log(uniform) / rate;
}

// The mean wait of kJobs jobs that come as a Poisson process of the given rate.
double mean_wait(double rate, const std::function<double(int64_t)>& service_time) {
  Simulator simulator;
  ServerQueue queue(simulator);
  const RandomStream arrivals(1, "arrivals");
  int64_t served = 0;
  std::function<void(int64_t)> arrive = [&](int64_t i) {
    queue.submit(service_time(i), [&] { ++served; });
    if (i + 1 < kJobs) {
      simulator.after(exponential(arrivals, i, rate), [&, i] { arrive(i + 1); });
    }
  };
  simulator.at(0, [&] { arrive(0); });
  simulator.run();
  EXPECT_EQ(served, kJobs);
  EXPECT_NEAR(queue.busy_time() / simulator.now(), rate, 0.01 * rate);  // mean service time is 1
  return queue.mean_wait();
}

TEST(ServerQueueTest, ExponentialServiceWaitsAsMM1) {
  const RandomStream services(1, "services");
  for (const double load : {0.3, 0.6}) {
    const double expected = load / (1 - load);
    const double wait = mean_wait(load, [&](int64_t i) { return exponential(services, i, 1.0); });
    EXPECT_NEAR(wait, expected, 0.02 * expected) << "load " << load;
  }
}

TEST(ServerQueueTest, ConstantServiceWaitsAsMD1) {
  for (const double load : {0.3, 0.8}) {
    const double expected = load / (2 * (1 - load));
    const double wait = mean_wait(load, [](int64_t) { return 1.0; });
    EXPECT_NEAR(wait, expected, 0.02 * expected) << "load " << load;
  }
}

TEST(ServerQueueTest, ServesInOrderAndCountsWaits) {
  Simulator simulator;
  ServerQueue queue(simulator);
  double first = 0, second = 0, third = 0;
  queue.submit(3, [&] { first = simulator.now(); });
  queue.submit(1, [&] { second = simulator.now(); });
  simulator.run_until(10);
  queue.submit(2, [&] { third = simulator.now(); });
  simulator.run();
  EXPECT_EQ(first, 3);
  EXPECT_EQ(second, 4);
  EXPECT_EQ(third, 12);
  EXPECT_EQ(queue.jobs(), 3);
  EXPECT_EQ(queue.busy_time(), 6);
  EXPECT_EQ(queue.mean_wait(), 1);
  EXPECT_EQ(queue.longest_wait(), 3);
  EXPECT_EQ(queue.free_at(), 12);
}

}  // namespace
}  // namespace ashlar::sim
