// Updates that do not wait for the norm of all ranks, and how they are taken back.
#include "ashlar/schedule/generators.h"
#include "tests/runtime/pipelined_training.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace ashlar::testing {
namespace {

using schedule::Schedule;

// PP11: the update does not wait for the norm of all ranks. Whether no step is clipped, some are or
// all, the weights are those of the patient run, to the bit.
TEST(PipelineOptimistic, EndsWhereThePatientRunEnds) {
  for (const char* name : {"zb-h1", "zb-h2", "zb-v"}) {
    const Schedule schedule = schedule::generate(name, {.ranks = 4, .microbatches = 8});
    SmallRun run = even_run(schedule, {3, 2});
    const std::vector<double> norms =
        train_pipelined(run, schedule, Arithmetic::kKernels).trained.norms;
    const auto [least, most] = std::ranges::minmax(norms);
    for (const double clip : {0.0, 2 * most, (least + most) / 2, least / 2}) {
      SCOPED_TRACE(fmt::format("{}, clipped at {} of {} to {}", name, clip, least, most));
      run.clip = clip;
      const auto patient = train_pipelined(run, schedule, Arithmetic::kKernels);
      for (const bool ahead : {false, true}) {
        const auto hasty = train_pipelined(run, schedule, Arithmetic::kKernels,
                                           {.optimistic = true, .ahead = ahead});
        EXPECT_EQ(hasty.trained.losses, patient.trained.losses);
        EXPECT_EQ(hasty.trained.norms, patient.trained.norms);
        EXPECT_EQ(hasty.trained.variables, patient.trained.variables);
        EXPECT_EQ(hasty.rollbacks[0] > 0, clip > 0 && clip < most);
        EXPECT_LE(hasty.rollbacks[0], run.steps);
        // The last of the line knows all. (In a V it adds in another order, and may clip by a bit.)
        if (schedule.stages.stages() == 4) {
          EXPECT_EQ(hasty.rollbacks[3], 0);
        }
      }
    }
  }
}

// The forwards that warm the next step up run while the norm is on its way: of ZB-H2 2(p-i)-1 on
// rank i, none where the loss is. Of data ranks beside it each pipeline does so.
TEST(PipelineOptimistic, BeginsTheNextStepMeanwhile) {
  const Schedule schedule = schedule::zb_h2(4, 7);
  SmallRun run = even_run(schedule, {3, 2});
  run.steps = 5;
  const auto hasty =
      train_pipelined(run, schedule, Arithmetic::kDouble, {.optimistic = true, .ahead = true});
  EXPECT_EQ(hasty.ahead, (std::vector<int>{7, 5, 3, 0}));
  const auto patient = train_pipelined(run, schedule, Arithmetic::kDouble);
  EXPECT_EQ(hasty.trained.losses, patient.trained.losses);
  EXPECT_EQ(hasty.trained.variables, patient.trained.variables);
}

// A scaled loss, as f16 has it, neither clips nor takes back what is below the limit without it.
TEST(PipelineOptimistic, KnowsOfTheLossScale) {
  const Schedule schedule = schedule::zb_h2(4, 7);
  SmallRun run = even_run(schedule, {3, 2});
  run.steps = 6;
  const PipelineLayout hasty{.optimistic = true};
  const auto plain = train_pipelined(run, schedule, Arithmetic::kDouble, hasty);
  const auto [least, most] = std::ranges::minmax(plain.trained.norms);
  for (const double clip : {2 * most, least / 2}) {
    run.clip = clip;
    run.loss_scale = 1;
    const auto wanted = train_pipelined(run, schedule, Arithmetic::kDouble, hasty);
    run.loss_scale = 65536;
    const auto found = train_pipelined(run, schedule, Arithmetic::kDouble, hasty);
    EXPECT_EQ(found.rollbacks, wanted.rollbacks);
    EXPECT_EQ(found.rollbacks[0] > 0, clip < most);
    ASSERT_EQ(found.trained.variables.size(), wanted.trained.variables.size());
    for (const auto& [name, values] : wanted.trained.variables) {
      for (size_t i = 0; i < values.size(); ++i) {
        ASSERT_NEAR(found.trained.variables.at(name)[i], values[i], 1e-10) << name;
      }
    }
  }
}

// A NaN in a gradient of the last rank: the others have updated when they learn of it.
TEST(PipelineOptimistic, TakesBackAStepWithNaN) {
  for (const Arithmetic arithmetic : {Arithmetic::kDouble, Arithmetic::kKernels}) {
    const Schedule schedule = schedule::zb_h2(4, 7);
    SmallRun run = even_run(schedule, {3, 2});
    run.clip = 1e6;
    run.spoilt = 3;
    run.steps = 6;
    const auto patient = train_pipelined(run, schedule, arithmetic);
    EXPECT_TRUE(std::isnan(patient.trained.norms[2]));
    for (const bool ahead : {false, true}) {
      const auto hasty =
          train_pipelined(run, schedule, arithmetic, {.optimistic = true, .ahead = ahead});
      EXPECT_EQ(hasty.rollbacks, (std::vector<int>{1, 1, 1, 0}));
      EXPECT_TRUE(std::isnan(hasty.trained.norms[2]));
      EXPECT_EQ(hasty.trained.losses, patient.trained.losses);
      EXPECT_EQ(hasty.trained.variables, patient.trained.variables);
    }
  }
}

}  // namespace
}  // namespace ashlar::testing
