#include "ashlar/sim/processor.h"

#include "tests/base/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <vector>

namespace ashlar::sim {
namespace {

using ::ashlar::testing::error_of;
using ::testing::DoubleNear;
using ::testing::ElementsAre;
using ::testing::HasSubstr;

struct Job {
  double start, seconds;
};

// When each job ends.
std::vector<double> ends(double cores, const std::vector<Job>& jobs) {
  Simulator simulator;
  Processor processor(simulator, cores);
  std::vector<double> result(jobs.size(), -1);
  for (size_t i = 0; i < jobs.size(); ++i) {
    simulator.at(jobs[i].start, [&, i] {
      processor.submit(jobs[i].seconds, [&, i] { result[i] = simulator.now(); });
    });
  }
  simulator.run();
  return result;
}

TEST(ProcessorTest, JobsRunAtFullSpeedWhereThereAreCores) {
  const std::vector<Job> jobs = {{0, 3}, {1, 1}, {1, 0}};
  for (const double cores : {2.0, 3.0, Processor::kEnough}) {
    EXPECT_THAT(ends(cores, jobs),
                ElementsAre(DoubleNear(3, 1e-12), DoubleNear(2, 1e-12), DoubleNear(1, 1e-12)));
  }
}

// Two thirds of a core each while three run on two, then one each.
TEST(ProcessorTest, MoreJobsThanCoresShareThem) {
  EXPECT_THAT(ends(2, {{0, 2}, {0, 2}, {0, 4}}),
              ElementsAre(DoubleNear(3, 1e-9), DoubleNear(3, 1e-9), DoubleNear(5, 1e-9)));
  // One that comes later slows down those that are there.
  EXPECT_THAT(ends(1, {{0, 2}, {1, 1}}), ElementsAre(DoubleNear(3, 1e-9), DoubleNear(3, 1e-9)));
}

TEST(ProcessorTest, AFractionOfACoreSlowsDownASingleJob) {
  EXPECT_THAT(ends(0.25, {{0, 1}, {4, 1}}), ElementsAre(DoubleNear(4, 1e-9), DoubleNear(8, 1e-9)));
}

// What is shared is not lost: the cores are busy until all is done.
TEST(ProcessorTest, ManyJobsTakeAsLongAsTheirSum) {
  std::vector<Job> jobs;
  double sum = 0;
  for (int i = 0; i < 50; ++i) {
    jobs.push_back({0, 1 + 0.01 * (i * 37 % 50)});
    sum += jobs.back().seconds;
  }
  double last = 0;
  for (const double end : ends(1, jobs)) last = std::max(last, end);
  EXPECT_NEAR(last, sum, 1e-6);
}

TEST(ProcessorTest, RefusesNonsense) {
  EXPECT_THAT(error_of([] { ends(0, {}); }), HasSubstr("0 cores"));
  EXPECT_THAT(error_of([] { ends(1, {{0, -1}}); }), HasSubstr("-1 s"));
}

}  // namespace
}  // namespace ashlar::sim
