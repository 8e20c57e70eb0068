// The predicted time of a step: its pieces add up, with ops of given times and messages of given
// rates.
#include "ashlar/base/cpu.h"
#include "ashlar/graph/ops/collective.h"
#include "ashlar/plan/overlap.h"
#include "ashlar/runtime/start_points.h"
#include "ashlar/train/run_plan.h"
#include "tests/train/layout_runner.h"
#include "tests/train/small_decoders.h"
#include "tests/train/tiny_run.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ashlar::train {
namespace {

using graph::Phase;

// An op of phase i takes i + 1 ms.
class PhaseTimer : public plan::OpTimer {
 public:
  static double of(Phase phase) { return 1e-3 * (1 + static_cast<int>(phase)); }
  std::optional<double> seconds(const plan::TimedOp& op) override {
    ++asked_;
    return of(op.node.phase);
  }
  int distinct_ops() const override { return asked_; }

 private:
  int asked_ = 0;
};

constexpr plan::MachineRates kFreeMessages{.message_bytes = 1e30};

class StepTime : public ::testing::Test {
 protected:
  TrainConfig config(const MeshSection& mesh) const {
    TrainConfig config = tiny_.config("time");
    config.model.heads = config.model.kv_heads = 4;
    config.model.layers = 4;
    config.mesh = mesh;
    config.train.batch = 8;
    config.train.microbatch = 2;
    config.valid.every = 0;
    config.run.threads = 1;
    return config;
  }
  static RunPlan plan(const TrainConfig& config, const plan::MachineRates& rates) {
    PhaseTimer timer;
    return plan_run(config, kernels::kernel_table(best_isa_tier()), {rates, &timer});
  }
  testing::TinyRun tiny_;
};

TEST_F(StepTime, OfOneRankIsThatOfItsOps) {
  const TrainConfig one = config({});
  const RunPlan planned = plan(one, {});
  EXPECT_EQ(planned.processors, 1);
  EXPECT_EQ(planned.microbatches, 4);
  const TrainingGraph training = build_training_graph(step_spec(one, planned.model, Ranks(one, 0)));
  double wanted = 0;
  for (const graph::Node& node : training.graph.nodes()) {
    wanted += PhaseTimer::of(node.phase) * (node.phase < Phase::kReduce ? 4 : 1);
  }
  EXPECT_NEAR(planned.step_seconds(), wanted, 1e-9);
  EXPECT_NEAR(planned.ranks[0].step.seconds(), wanted, 1e-9);
  EXPECT_GT(planned.timed_ops, 0);
}

// Two ranks of one thread have a core each where there are two; eight share them.
TEST_F(StepTime, RanksShareTheCores) {
  const double cores = cpu_info().logical_cores;
  for (const int64_t ranks : {1, 2, 4, 8}) {
    TrainConfig shared = config({.data = ranks});
    shared.train.microbatch = 1;
    const RunPlan planned = plan(shared, kFreeMessages);
    EXPECT_DOUBLE_EQ(planned.processors, std::min(1.0, cores / static_cast<double>(ranks)));
    EXPECT_NEAR(planned.step_seconds() * planned.processors, planned.ranks[0].step.seconds(),
                1e-6 * planned.step_seconds())
        << ranks;
  }
}

// Fewer cores than stages: as long as the work, whatever the schedule's bubble.
TEST_F(StepTime, APipelineOnOneCoreTakesAllItsWork) {
  TrainConfig pipe = config({.pipe = 4});
  pipe.train.batch = pipe.train.microbatch = 2;
  const RunPlan planned = plan(pipe, kFreeMessages);
  double work = 0, longest = 0;
  for (const RankPlan& rank : planned.ranks) {
    work += rank.step.seconds();
    longest = std::max(longest, rank.step.seconds());
  }
  const double cores = std::min<double>(cpu_info().logical_cores, 4);
  EXPECT_GE(planned.step_seconds(), work / cores - 1e-9);
  // One microbatch: forward and backward are a chain, only the update is at once.
  EXPECT_GT(planned.step_seconds(), 2 * longest);
  EXPECT_GT(planned.bubble, 0.6);
}

// A message's bytes are the rank's own work; its latency passes beside what the rank computes, as
// parameters of ZeRO-3 do.
TEST_F(StepTime, MessagesPassBesideTheWork) {
  for (const int64_t zero : {0, 3}) {
    TrainConfig two = config({.data = 2});
    two.parallel.zero = zero;
    const plan::PhaseCost silent = plan(two, kFreeMessages).ranks[0].step;
    const plan::PhaseCost slow =
        plan(two, {.message_bytes = 1e9, .message_latency = 1e-4}).ranks[0].step;
    EXPECT_EQ(slow.compute, silent.compute);
    EXPECT_GT(slow.talk.own, 0);
    EXPECT_NEAR(slow.seconds(), slow.compute + slow.talk.own + slow.talk.wire - slow.hidden, 1e-12);
    EXPECT_GE(slow.hidden, zero == 3 ? 0.5 * slow.talk.wire : 0);
    EXPECT_LT(slow.hidden, slow.talk.wire);
  }
}

// By hand: ops of backward take 1 s, a sum is on the wire for 10.
TEST(Overlap, SumsFollowEachOtherBehindTheirGradients) {
  testing::LayoutJob job{.model = testing::small_llama()};
  testing::Layout layout{.mesh = {.data = 2}};
  layout.bucket_bytes = 12000;
  const TrainingGraph training = build_training_graph(spec_of(job, layout, 0));
  const graph::Graph& graph = training.graph;
  std::vector<plan::PhaseCost> costs(graph.nodes().size());
  graph::Program backward, sums;
  for (size_t i = 0; i < costs.size(); ++i) {
    const Phase phase = graph.nodes()[i].phase;
    graph::Step step;
    step.node = static_cast<int32_t>(i);
    if (phase == Phase::kInputGrad || phase == Phase::kWeightGrad) {
      costs[i].compute = 1;
      backward.steps.push_back(step);
    } else if (phase == Phase::kReduce) {
      costs[i].talk.wire = 10;
      sums.steps.push_back(step);
    }
  }
  ASSERT_GE(sums.steps.size(), 3u);
  double wire_free = 0;
  for (const int point : runtime::start_points(graph, backward, sums)) {
    wire_free = std::max<double>(wire_free, point) + 10;
  }
  const auto work = static_cast<double>(backward.steps.size());
  const Phase phases[] = {Phase::kInputGrad, Phase::kWeightGrad};
  EXPECT_EQ(plan::overlapped_seconds(graph, costs, phases), work);
  EXPECT_EQ(plan::overlapped_seconds(graph, costs, phases, true), std::max(work, wire_free));
  EXPECT_GT(wire_free, 10 * static_cast<double>(sums.steps.size()));
  EXPECT_LT(wire_free, work + 10 * static_cast<double>(sums.steps.size()));
  // What the rank adds itself is never hidden.
  for (plan::PhaseCost& cost : costs) {
    if (cost.talk.wire > 0) cost.talk = {.own = 2, .wire = 0};
  }
  EXPECT_EQ(plan::overlapped_seconds(graph, costs, phases, true),
            work + 2 * static_cast<double>(sums.steps.size()));
}

}  // namespace
}  // namespace ashlar::train
