// Pipelines of tied models, of uneven data, beside data ranks and with recomputation train as one
// process does.
#include "ashlar/schedule/generators.h"
#include "tests/runtime/pipelined_training.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <string>

namespace ashlar::testing {
namespace {

using schedule::Schedule;

// An embedding that is also the head: its copies are on the first and the last stage, which are on
// two ranks, on one (zb-v), or, with two replicas, four copies on two ranks.
TEST(PipelineTied, CopiesStayOne) {
  for (const int ranks : {2, 4}) {
    for (const char* name : {"1f1b", "interleaved", "zb-h2", "zb-v", "chimera", "hanayo"}) {
      SCOPED_TRACE(fmt::format("{}, {} ranks", name, ranks));
      const Schedule schedule =
          schedule::generate(name, {.ranks = ranks, .microbatches = 2 * ranks});
      SmallRun run = even_run(schedule, {3, 2});
      run.model.tied = true;
      run.clip = 0.05;
      const auto exact = train_pipelined(run, schedule, Arithmetic::kDouble);
      const TrainedResult wanted = train_in_double(run);
      EXPECT_GT(wanted.norms[0], run.clip);
      expect_equal(exact.trained, wanted, 1e-10);
      const auto fast = train_pipelined(run, schedule, Arithmetic::kKernels);
      expect_equal(fast.trained, train_with_kernels(run), 1e-5);
      for (const auto& result : {exact, fast}) {
        EXPECT_TRUE(result.copies_equal);
        const int untied = static_cast<int>(wanted.variables.size()) - 3;
        EXPECT_EQ(result.copies, schedule.stages.replicas() == 2 ? untied + 9 : 3);
      }
    }
  }
}

// Microbatches of different sizes, one of which counts no token; layer norms, biases, dropout.
TEST(PipelineData, NeedsNoEvenMicrobatches) {
  for (const char* name : {"1f1b", "zb-h1", "v-min", "chimera"}) {
    SCOPED_TRACE(name);
    const Schedule schedule = schedule::generate(name, {.ranks = 2, .microbatches = 4});
    SmallRun run;
    run.model = narrow_model(schedule.stages.stages());
    run.model.layer_norm = true;
    run.model.dropout = 0.2;
    run.lengths = {{7, 1}, {2}, {3, 3, 3}, {11}};
    run.masked = 1;
    const auto exact = train_pipelined(run, schedule, Arithmetic::kDouble);
    expect_equal(exact.trained, train_in_double(run), 1e-10);
    const auto fast = train_pipelined(run, schedule, Arithmetic::kKernels);
    expect_equal(fast.trained, train_with_kernels(run), 1e-5);
  }
}

// A mixture of experts: how they are used adds up along the layers, so that two values cross each
// border, and the gradient of their balance is passed on to all stages.
TEST(PipelineMixture, BalancesExpertsOfAllStages) {
  for (const char* name : {"1f1b", "zb-v", "chimera"}) {
    SCOPED_TRACE(name);
    const Schedule schedule = schedule::generate(name, {.ranks = 2, .microbatches = 4});
    SmallRun run = even_run(schedule, {5, 3});
    run.model.experts = 4;
    run.model.balance = 0.1;
    const auto exact = train_pipelined(run, schedule, Arithmetic::kDouble);
    const TrainedResult wanted = train_in_double(run);
    EXPECT_GT(wanted.aux_losses[0], 0);
    expect_equal(exact.trained, wanted, 1e-10);
    const auto fast = train_pipelined(run, schedule, Arithmetic::kKernels);
    expect_equal(fast.trained, train_with_kernels(run), 1e-5);
    const int borders = schedule.stages.replicas() == 2 ? 1 : (schedule.stages.stages() - 1);
    int64_t messages = 0;
    for (const comm::Traffic& sent : fast.sent) messages += sent.messages;
    const int between = borders - (name == std::string("zb-v") ? 1 : 0);  // one is inside a rank
    EXPECT_EQ(messages, run.steps * 4 * between * (2 + 2));
  }
}

// In bf16 activations cross borders in two bytes; what crosses is what the next layer would read.
TEST(PipelineBf16, KeepsTheBitsOfOneProcess) {
  for (const bool tied : {false, true}) {
    const Schedule schedule = schedule::one_f_one_b(4, 4);
    SmallRun run = even_run(schedule, {5, 3});
    run.dtype = DType::kBF16;
    run.model.tied = tied;
    run.steps = 5;
    const auto found = train_pipelined(run, schedule, Arithmetic::kKernels);
    const TrainedResult wanted = train_with_kernels(run);
    EXPECT_EQ(found.trained.losses[0], wanted.losses[0]);
    if (tied) {
      EXPECT_TRUE(found.copies_equal);
      EXPECT_EQ(found.copies, 3);
    } else {
      EXPECT_EQ(found.trained.gradients, wanted.gradients);
    }
    int64_t bytes = 0;
    for (const comm::Traffic& sent : found.sent) bytes += sent.bytes;
    EXPECT_EQ(bytes, run.steps * 2 * 4 * 3 * (8 * run.model.width * 2));
  }
}

// Data ranks beside the pipeline: their gradients are summed in phase R, when a chunk is reduced.
TEST(PipelineWithData, EqualsOneProcess) {
  for (const char* name : {"1f1b", "zb-h1", "zb-v", "chimera"}) {
    for (const bool tied : {false, true}) {
      SCOPED_TRACE(fmt::format("{}, {}", name, tied ? "tied" : "untied"));
      const Schedule schedule = schedule::generate(name, {.ranks = 2, .microbatches = 2});
      SmallRun run;
      run.model = narrow_model(schedule.stages.stages());
      run.model.tied = tied;
      run.lengths = {{3, 2}, {4}, {1, 1, 2}, {5}};
      run.clip = 0.05;
      const PipelineLayout layout{.data = 2};
      const auto exact = train_pipelined(run, schedule, Arithmetic::kDouble, layout);
      expect_equal(exact.trained, train_in_double(run), 1e-10);
      const auto fast = train_pipelined(run, schedule, Arithmetic::kKernels, layout);
      expect_equal(fast.trained, train_with_kernels(run), 1e-5);
      EXPECT_TRUE(exact.copies_equal && fast.copies_equal);
    }
  }
}

// What is computed again in B may be read by a W that runs later.
TEST(PipelineRecompute, KeepsEveryBit) {
  for (const char* name : {"1f1b", "zb-h2", "v-half"}) {
    const Schedule schedule = schedule::generate(name, {.ranks = 2, .microbatches = 4});
    SmallRun run = even_run(schedule, {5, 4});
    run.model.dropout = 0.1;
    run.steps = 3;
    const auto wanted = train_pipelined(run, schedule, Arithmetic::kKernels);
    for (const auto mode : {passes::Recompute::kFull, passes::Recompute::kSelective}) {
      const auto found = train_pipelined(run, schedule, Arithmetic::kKernels, {.recompute = mode});
      EXPECT_EQ(found.trained.losses, wanted.trained.losses) << name;
      EXPECT_EQ(found.trained.variables, wanted.trained.variables) << name;
    }
  }
}

}  // namespace
}  // namespace ashlar::testing
