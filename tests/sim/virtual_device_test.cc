// Row F3: links, copy queues, and memory that ends.
#include "ashlar/sim/virtual_device.h"

#include "tests/base/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <utility>
#include <vector>

namespace ashlar::sim {
namespace {

using ashlar::testing::error_of;
using ::testing::ElementsAre;

constexpr LinkSpec kLink{.latency = 0.5, .bandwidth = 1000};

TEST(LinkTest, TransfersSerialiseAndLatencyOverlaps) {
  Simulator simulator;
  Link link(simulator, kLink);
  std::vector<double> arrivals;
  for (const int bytes : {2000, 1000, 0}) {
    link.transfer(bytes, [&] { arrivals.push_back(simulator.now()); });
  }
  simulator.run();
  EXPECT_THAT(arrivals, ElementsAre(2.5, 3.5, 3.5));
  EXPECT_EQ(link.bytes(), 3000);
  EXPECT_EQ(kLink.transfer_time(2000), 2.5);
}

TEST(LinkTest, WithoutASpecItTakesNoTime) {
  Simulator simulator;
  Link link(simulator, {});
  double arrival = -1;
  simulator.at(7, [&] { link.transfer(1 << 30, [&] { arrival = simulator.now(); }); });
  simulator.run();
  EXPECT_EQ(arrival, 7);
}

TEST(LinkTest, RefusesWhatIsNoLink) {
  Simulator simulator;
  EXPECT_EQ(error_of([&] { Link(simulator, {.latency = -1}); }), "link: a latency of -1 s");
  EXPECT_EQ(error_of([&] { Link(simulator, {.bandwidth = 0}); }), "link: a bandwidth of 0 bytes/s");
  Link link(simulator, {});
  EXPECT_EQ(error_of([&] { link.transfer(-1, [] {}); }), "link: a transfer of -1 bytes");
}

TEST(CopyEngineTest, CopiesOfAQueueSerialise) {
  Simulator simulator;
  CopyEngine engine(simulator, kLink);
  std::vector<double> done;
  for (int i = 0; i < 3; ++i) engine.copy(0, 2000, [&] { done.push_back(simulator.now()); });
  simulator.run();
  EXPECT_THAT(done, ElementsAre(2.5, 5, 7.5));  // each 2000 / 1000 + 0.5
  EXPECT_EQ(engine.bytes(), 6000);
}

TEST(CopyEngineTest, QueuesShareTheLinkButNotTheLatency) {
  Simulator simulator;
  CopyEngine engine(simulator, kLink, 2);
  std::vector<std::pair<int, double>> done;
  for (const int queue : {0, 1, 0}) {
    engine.copy(queue, 1000, [&, queue] { done.push_back({queue, simulator.now()}); });
  }
  simulator.run();
  // Queue 0's second copy starts when its first has arrived at 1.5, and finds the wire busy till 2.
  EXPECT_THAT(done, ElementsAre(std::pair(0, 1.5), std::pair(1, 2.5), std::pair(0, 3.5)));
  EXPECT_EQ(error_of([&] { engine.copy(2, 1, [] {}); }), "copy engine: queue 2 of 2");
}

TEST(TaggedArenaTest, CountsInUseAndPeaksByTag) {
  TaggedArena arena("rank 0", 100);
  auto params = arena.allocate("params", 40);
  {
    const auto first = arena.allocate("activations", 30);
    const auto second = arena.allocate("activations", 20);
    EXPECT_EQ(arena.usage("activations").in_use, 50);
    EXPECT_EQ(arena.total().in_use, 90);
  }
  const auto later = arena.allocate("grads", 60);
  EXPECT_EQ(arena.usage("activations").in_use, 0);
  EXPECT_EQ(arena.usage("activations").peak, 50);
  EXPECT_EQ(arena.usage("grads").peak, 60);
  EXPECT_EQ(arena.usage("never").peak, 0);
  EXPECT_EQ(arena.total().peak, 100);  // exactly the cap fits
  params.release();
  params.release();
  EXPECT_EQ(arena.total().in_use, 60);
}

TEST(TaggedArenaTest, OverTheCapIsAnErrorThatNamesAll) {
  TaggedArena arena("rank 3", 100);
  const auto params = arena.allocate("params", 40);
  const auto kept = arena.allocate("activations", 35);
  EXPECT_EQ(error_of([&] { (void)arena.allocate("activations", 26); }),
            "rank 3: activations asks for 26 bytes, 75 are in use, the cap is 100: 1 too many "
            "(in use: activations 35, params 40)");
  EXPECT_EQ(arena.total().in_use, 75);  // a refusal takes nothing
  EXPECT_EQ(arena.total().peak, 75);
  EXPECT_EQ(error_of([&] { (void)TaggedArena("x", 5).allocate("kv", 6); }),
            "x: kv asks for 6 bytes, 0 are in use, the cap is 5: 1 too many");
}

TEST(TaggedArenaTest, MovedAllocationsAreCountedOnce) {
  TaggedArena arena("x", 10);
  auto a = arena.allocate("t", 6);
  TaggedArena::Allocation b = std::move(a);
  EXPECT_EQ(arena.total().in_use, 6);
  b = arena.allocate("t", 4);
  EXPECT_EQ(arena.total().in_use, 4);
}

TEST(VirtualDeviceTest, LoadsAndEvictsThroughTheCopyQueues) {
  Simulator simulator;
  VirtualDevice device(simulator, {.name = "gpu 0", .memory = 3000, .host = kLink});
  TaggedArena::Allocation weights;
  double loaded = 0, evicted = 0;
  device.load("weights", 2000, [&](TaggedArena::Allocation there) {
    weights = std::move(there);
    loaded = simulator.now();
  });
  EXPECT_EQ(device.memory().usage("weights").in_use, 2000);  // taken when asked for
  EXPECT_EQ(error_of([&] { device.load("weights", 1001, [](TaggedArena::Allocation) {}); }),
            "gpu 0: weights asks for 1001 bytes, 2000 are in use, the cap is 3000: 1 too many "
            "(in use: weights 2000)");
  simulator.run();
  EXPECT_EQ(loaded, 2.5);
  device.evict(std::move(weights), [&] { evicted = simulator.now(); });
  EXPECT_EQ(device.memory().total().in_use, 2000);  // until the last byte has left
  simulator.run();
  EXPECT_EQ(evicted, 5);
  EXPECT_EQ(device.memory().total().in_use, 0);
  EXPECT_EQ(device.memory().total().peak, 2000);
  EXPECT_EQ(device.to_device().bytes(), 2000);
  EXPECT_EQ(device.to_host().bytes(), 2000);
}

}  // namespace
}  // namespace ashlar::sim
