// CT1: sums over ranks of several nodes are those of one level, and carry less across nodes.
#include "ashlar/comm/node_communicator.h"

#include "ashlar/comm/counting_communicator.h"
#include "ashlar/comm/thread_ranks.h"

#include <gtest/gtest.h>

#include <mutex>
#include <vector>

namespace ashlar::comm {
namespace {

TEST(NodeCommunicator, PartsGroupsThatSpanNodes) {
  const Group all = whole_group(8, 6);
  const auto groups = across_nodes(all, 4);
  ASSERT_TRUE(groups);
  EXPECT_EQ(groups->inner.name, "world in a node");
  EXPECT_EQ(groups->inner.ranks, (std::vector<int>{4, 5, 6, 7}));
  EXPECT_EQ(groups->inner.index, 2);
  EXPECT_EQ(groups->outer.name, "world");
  EXPECT_EQ(groups->outer.ranks, (std::vector<int>{2, 6}));
  EXPECT_EQ(groups->outer.index, 1);
  EXPECT_FALSE(across_nodes(all, 0));                       // not asked for
  EXPECT_FALSE(across_nodes(all, 8));                       // one node
  EXPECT_FALSE(across_nodes(all, 1));                       // one rank on each
  EXPECT_FALSE(across_nodes(all, 3));                       // 3, 3 and 2
  EXPECT_FALSE(across_nodes({"data", {0, 4}, 1}, 4));       // one rank on each
  EXPECT_FALSE(across_nodes({"tensor", {4, 5}, 0}, 4));     // one node
  EXPECT_TRUE(across_nodes({"data", {0, 2, 4, 6}, 3}, 4));  // two on each
}

// Each rank sends 2(n-1)/n of 1/g of the data to other nodes: n nodes of g ranks.
TEST(NodeCommunicator, SumsInTwoLevels) {
  constexpr int64_t kCount = 24 * 100;
  for (const auto& [nodes, g] : {std::pair(2, 2), {2, 4}, {4, 2}, {3, 2}}) {
    const int p = nodes * g;
    std::mutex mutex;
    std::vector<float> first;  // of some rank
    run_ranks(p, [&, nodes = nodes, g = g](Communicator& threads) {
      NodeCommunicator comm(threads, g);
      std::vector<int32_t> whole(kCount);
      std::vector<float> floats(kCount);
      for (int64_t i = 0; i < kCount; ++i) {
        whole[static_cast<size_t>(i)] = static_cast<int32_t>(i) * (comm.rank() + 1);
        floats[static_cast<size_t>(i)] = 1.0f / static_cast<float>(i + 3 * comm.rank() + 1);
      }
      comm.all_reduce(comm.world(), Reduce::kSum, buffer(std::span(whole)), "whole");
      for (int64_t i = 0; i < kCount; ++i) {
        ASSERT_EQ(whole[static_cast<size_t>(i)], i * p * (p + 1) / 2);
      }
      const int64_t bytes = kCount * 4;
      EXPECT_EQ(comm.counters().axis("world").bytes, 2 * (nodes - 1) * (bytes / g) / nodes);
      EXPECT_EQ(comm.counters().axis("world in a node").bytes, 2 * (g - 1) * bytes / g);
      CountingCommunicator counting(p, comm.rank());
      NodeCommunicator foretold(counting, g);
      foretold.all_reduce(comm.world(), Reduce::kSum, buffer(std::span(whole)), "whole");
      for (const auto& [key, traffic] : counting.counters().entries()) {
        EXPECT_EQ(traffic.bytes, comm.counters().of(key.first, key.second).bytes) << key.first;
        EXPECT_EQ(traffic.messages, comm.counters().of(key.first, key.second).messages);
      }
      comm.all_reduce(comm.world(), Reduce::kSum, buffer(std::span(floats)), "floats");
      const std::lock_guard lock(mutex);
      if (first.empty()) first = floats;
      EXPECT_EQ(floats, first);  // all ranks have the same bits
    });
  }
}

}  // namespace
}  // namespace ashlar::comm
