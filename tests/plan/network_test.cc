// Collectives played on the links of several nodes, against closed forms.
#include "ashlar/plan/network.h"

#include "ashlar/comm/collectives.h"
#include "ashlar/comm/node_communicator.h"
#include "ashlar/plan/network_communicator.h"

#include <gtest/gtest.h>

#include <map>
#include <numeric>

namespace ashlar::plan {
namespace {

constexpr int64_t kFloats = 1 << 22;
constexpr double kBytes = 4.0 * kFloats;
constexpr double kAcross = 1e9;  // bytes a second out of a node

struct Nodes {
  int nodes, ranks;  // ranks of each
  int size() const { return nodes * ranks; }
};

Network network(const Nodes& job, double ratio) {
  return {job.ranks,
          {.latency = 0, .bandwidth = ratio * kAcross},
          {.latency = 0, .bandwidth = kAcross}};
}

// As many bytes as a ring all-reduce sends, as it sends them: to the next rank, twice round.
double ring_seconds(const Nodes& job, const Network& network) {
  std::vector<RankProgram> programs;
  comm::Traffic traffic;
  std::byte nowhere{};
  for (int rank = 0; rank < job.size(); ++rank) {
    comm::Peers peers{std::vector<int>(static_cast<size_t>(job.size())),
                      std::vector<int>(static_cast<size_t>(job.size())), rank, &traffic};
    std::iota(peers.ranks.begin(), peers.ranks.end(), 0);
    programs.push_back({rank, {}});
    for (int round = 0; round < 2; ++round) {
      append_all_gather(programs.back().program, peers, DType::kF32, &nowhere,
                        comm::even_slices(peers, kFloats), &nowhere);
    }
  }
  return play_collective(programs, network);
}

// The sum that training makes: flat, or in two levels.
double sum_seconds(const Nodes& job, const Network& network, bool two_levels) {
  NetworkCommunicator::Played played;
  NetworkCommunicator counting(job.size(), 0, network, played);
  comm::NodeCommunicator comm(counting, two_levels ? job.ranks : 0);
  comm.all_reduce(comm.world(), comm::Reduce::kSum, {DType::kF32, nullptr, kFloats}, "sum");
  return counting.seconds();
}

constexpr Nodes kJobs[] = {{2, 2}, {2, 4}, {4, 2}, {3, 4}};

// On one link of each rank: 2 (p-1)/p of the bytes.
TEST(Network, ARingTakesTheBytesOfItsSlowestLink) {
  for (const Nodes& job : kJobs) {
    const double p = job.size();
    EXPECT_NEAR(ring_seconds(job, network(job, 4)), 2 * (p - 1) / p * kBytes / kAcross,
                1e-3 * kBytes / kAcross);
  }
}

TEST(Network, LatencyCountsOnceARound) {
  const Nodes job{2, 2};
  Network slow = network(job, 4);
  const double before = ring_seconds(job, slow);
  slow.across.latency = 1;
  EXPECT_NEAR(ring_seconds(job, slow) - before, 2 * (job.size() - 1), 0.1);
}

// CT1: g ranks of a node share its link, which in two levels carries 2 (n-1)/n of the bytes, and
// their own links twice (g-1)/g. A ring sends 2 (p-1)/p over the slowest of all. So two levels are
// the faster where links inside are more than n times as fast as those across.
TEST(Network, TwoLevelsBeatARingWhereLinksInsideAreFasterByTheNumberOfNodes) {
  for (const Nodes& job : kJobs) {
    const double n = job.nodes, g = job.ranks, p = n * g;
    for (const double ratio : {0.5 * n, 0.8 * n, 1.25 * n, 2 * n, 8 * n}) {
      const Network links = network(job, ratio);
      const double two = sum_seconds(job, links, true), ring = ring_seconds(job, links);
      const double form = (2 * (g - 1) / g / ratio + 2 * (n - 1) / n) * kBytes / kAcross;
      EXPECT_NEAR(two, form, 0.02 * form) << n << " nodes of " << g << ", ratio " << ratio;
      // A ring is held up by its slowest link, which for slow ones inside is those.
      const double slowest = std::min(1.0, ratio) * kAcross;
      EXPECT_NEAR(ring, 2 * (p - 1) / p * kBytes / slowest, 0.02 * ring);
      EXPECT_EQ(two<ring, ratio> n) << n << " nodes of " << g << ", ratio " << ratio;
    }
  }
}

// What a flat sum of ours sends across: in its first half each rank's term to each owner.
TEST(Network, OurFlatSumSendsMoreAcrossThanARing) {
  for (const Nodes& job : kJobs) {
    const double n = job.nodes, g = job.ranks, p = n * g;
    const Network links = network(job, 100);
    const double form = (g * (n - 1) / n + (p - 1) / p) * kBytes / kAcross;
    EXPECT_NEAR(sum_seconds(job, links, false), form, 0.05 * form) << n << " nodes of " << g;
    EXPECT_LT(sum_seconds(job, links, true), ring_seconds(job, links));
  }
}

// Of a node's ranks only some are in the group: the others' groups use its link as well.
TEST(Network, GroupsOfANodeShareItsLink) {
  const Network links = network({2, 4}, 100);
  NetworkCommunicator::Played played;
  const auto seconds = [&](std::vector<int> ranks) {
    NetworkCommunicator comm(8, 0, links, played);
    comm.all_reduce({"data", std::move(ranks), 0}, comm::Reduce::kSum,
                    {DType::kF32, nullptr, kFloats}, "sum");
    return comm.seconds();
  };
  // One rank a node: (p-1)/p of the bytes twice, on a quarter of the link.
  EXPECT_NEAR(seconds({0, 4}), 4 * kBytes / kAcross, 0.02 * kBytes / kAcross);
  EXPECT_LT(seconds({0, 1}), 0.02 * kBytes / kAcross);  // all on the node
  EXPECT_EQ(played.size(), 2u);
  EXPECT_EQ(seconds({0, 4}), played.at("sum f32 4194304 0,4"));
}

// Bytes are counted as ever.
TEST(Network, CountsWhatIsSent) {
  const Network links = network({2, 2}, 10);
  NetworkCommunicator::Played played;
  NetworkCommunicator timed(4, 1, links, played);
  comm::CountingCommunicator counting(4, 1);
  for (comm::Communicator* comm :
       {static_cast<comm::Communicator*>(&timed), static_cast<comm::Communicator*>(&counting)}) {
    comm::NodeCommunicator nodes(*comm, 2);
    nodes.all_reduce(nodes.world(), comm::Reduce::kSum, {DType::kF32, nullptr, 1000}, "a");
    const std::vector<int64_t> counts = {10, 20, 30, 40};
    nodes.all_gather(nodes.world(), {DType::kF32, nullptr, 20}, counts, {DType::kF32, nullptr, 100},
                     "b");
    nodes.reduce_scatter(nodes.world(), comm::Reduce::kSum, {DType::kF32, nullptr, 100}, counts,
                         {DType::kF32, nullptr, 20}, "c");
    nodes.send(nodes.world(), 3, 0, {DType::kF32, nullptr, 7}, "d");
  }
  EXPECT_EQ(timed.counters().total().bytes, counting.counters().total().bytes);
  EXPECT_EQ(timed.counters().total().messages, counting.counters().total().messages);
  EXPECT_GT(timed.bytes_inside(), 0);
  EXPECT_LT(timed.bytes_inside(), timed.counters().total().bytes);
}

}  // namespace
}  // namespace ashlar::plan
