// The share of a step in communication is what ranks waited: work that hides it leaves none. Bytes
// sent count wherever they were sent.
#include "ashlar/train/job_step.h"

#include "ashlar/comm/thread_ranks.h"

#include <gtest/gtest.h>

#include <chrono>
#include <thread>

namespace ashlar::train {
namespace {

// One step of a rank in which it sums over `axes`, as `communicate` does.
template <typename Communicate>
StepMetrics run_step(comm::Communicator& comm, Communicate communicate) {
  TrainConfig config;
  config.mesh.data = config.mesh.context = 2;
  const Ranks ranks(config, &comm);
  JobStep step(ranks);
  const comm::Group group = comm::group_along(ranks.mesh(), comm.rank(), {"data", "context"});
  std::vector<float> values(1000, 1.0f);
  // Whoever waited before the step, for a validation say, did not wait in it.
  if (comm.rank() == 0) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  comm.all_reduce(comm::group_along(ranks.mesh(), comm.rank(), {"context"}), comm::Reduce::kSum,
                  comm::buffer(std::span(values)), "before");
  comm.barrier(comm.world(), "begin together");
  step.begin();
  communicate(group, comm::buffer(std::span(values)));
  StepMetrics metrics;
  step.finish({.flops = 1, .peak_flops = 1, .seconds = 1}, metrics, 1);
  return metrics;
}

TEST(JobStepTest, CountsWaitsForSeveralAxesToTheSlowest) {
  comm::run_ranks(4, [](comm::Communicator& comm) {
    const StepMetrics metrics = run_step(comm, [&](const comm::Group& group, comm::Buffer data) {
      if (comm.rank() == 3) std::this_thread::sleep_for(std::chrono::milliseconds(20));
      comm.all_reduce(group, comm::Reduce::kSum, data, "late");
    });
    // Three of four waited 20 ms of a second.
    EXPECT_GT(metrics.comm_share.at("data"), 0.01);
    EXPECT_EQ(metrics.comm_share.at("context"), 0);
    // Of 1000 floats all four sent 2 (p-1), and nothing along context, but for what was before.
    EXPECT_EQ(metrics.comm_bytes.at("data"), 2 * 3 * 1000 * 4);
    EXPECT_EQ(metrics.comm_bytes.at("context"), 0);
  });
}

TEST(JobStepTest, TellsAllWhatTheSlowestMet) {
  comm::run_ranks(4, [](comm::Communicator& comm) {
    TrainConfig config;
    config.mesh.data = 4;
    const Ranks ranks(config, &comm);
    JobStep step(ranks);
    StepMetrics metrics;
    JobStep::Mine mine{.flops = 1, .peak_flops = 1, .seconds = 1, .stall_s = 0.1 * comm.rank()};
    mine.writing = comm.rank() == 2;
    step.begin();
    JobStep::Answer answer = step.finish(mine, metrics, 1);
    EXPECT_FALSE(answer.stop);
    EXPECT_TRUE(answer.writing);
    EXPECT_DOUBLE_EQ(answer.stall_s, 0.1 * 3);
    mine.writing = false;
    mine.stop = comm.rank() == 1;
    step.begin();
    answer = step.finish(mine, metrics, 1);
    EXPECT_TRUE(answer.stop);
    EXPECT_FALSE(answer.writing);
  });
}

TEST(JobStepTest, DoesNotCountWhatWorkHides) {
  comm::run_ranks(4, [](comm::Communicator& comm) {
    const StepMetrics metrics = run_step(comm, [&](const comm::Group& group, comm::Buffer data) {
      if (comm.rank() == 3) std::this_thread::sleep_for(std::chrono::milliseconds(20));
      comm::Pending sum = comm.start_all_reduce(group, comm::Reduce::kSum, data, "hidden");
      while (!sum.done()) std::this_thread::yield();  // the rank computes, and polls between ops
      sum.wait();
    });
    EXPECT_EQ(metrics.comm_share.at("data"), 0);
  });
}

}  // namespace
}  // namespace ashlar::train
