// What runs beside the work inside a pipeline's chunks: gradients leave in buckets while backward
// goes on, ZeRO-3 gathers one unit ahead.
#include "ashlar/base/cpu.h"
#include "ashlar/models/decoder_graphs.h"
#include "ashlar/train/pipeline_graphs.h"
#include "ashlar/train/pipeline_schedule.h"
#include "tests/train/pipe_layout.h"
#include "tests/train/small_decoders.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ashlar::train::testing {
namespace {

LayoutJob job_of(int64_t layers) {
  LayoutJob job{.model = small_llama(), .batch = 8, .microbatches = 4};
  job.model.layers = layers;
  job.steps = 3;
  return job;
}

class PipeBuckets : public ::testing::TestWithParam<PipeLayout> {};

TEST_P(PipeBuckets, LeaveWhileBackwardRuns) {
  const PipeLayout& layout = GetParam();
  const LayoutJob job = job_of(8);
  const PipeResult found = run_pipe_layout(job, layout, Arithmetic::kKernels);
  for (size_t rank = 0; rank < found.buckets.size(); ++rank) {
    EXPECT_GE(found.buckets[rank], 4) << layout.str() << ", rank " << rank;
    // The last one of a chunk starts behind the last gradient, and with it those of other dtypes.
    EXPECT_GE(found.early_buckets[rank], found.buckets[rank] / 2) << layout.str();
  }
  // Buckets change no bit.
  PipeLayout alone = layout;
  alone.layout.bucket_bytes = 1;
  const PipeResult single = run_pipe_layout(job, alone, Arithmetic::kKernels);
  EXPECT_EQ(found.trained.losses, single.trained.losses) << layout.str();
  EXPECT_EQ(found.trained.parameters, single.trained.parameters) << layout.str();
  EXPECT_GT(single.buckets[0], found.buckets[0]);
}

INSTANTIATE_TEST_SUITE_P(
    Schedules, PipeBuckets,
    ::testing::Values(
        PipeLayout{.layout = {.mesh = {.data = 2, .pipe = 2}, .bucket_bytes = 8000}},
        PipeLayout{.layout = {.mesh = {.data = 2, .pipe = 2}, .bucket_bytes = 8000},
                   .schedule = "zb-h1"},
        PipeLayout{.layout = {.mesh = {.data = 2, .pipe = 2}, .bucket_bytes = 8000},
                   .schedule = "interleaved"},
        PipeLayout{.layout = {.mesh = {.data = 2, .pipe = 2}, .zero = 1, .bucket_bytes = 8000},
                   .schedule = "zb-v"}));

// One layer's parameters are there, the next one's arrive, and no more.
TEST(PipePrefetch, GathersOneUnitAhead) {
  const LayoutJob job = job_of(8);
  const Layout layout{.mesh = {.data = 2, .pipe = 2}, .zero = 3};
  TrainConfig config;
  config.train.batch = job.microbatches;
  config.train.microbatch = 1;
  config.mesh.pipe = 2;
  StepSpec spec = spec_of(job, layout, 0);
  spec.schedule = pipeline_schedule(config);
  const std::vector<graph::Stage> chunks = build_chunks(spec);
  const auto plan = plan_chunk_memory(chunks, *spec.schedule, 0, largest_microbatch(spec),
                                      kernels::kernel_table(best_isa_tier()), 1)[0];
  int64_t unit = 0;  // layer 1, and of the rows of its shards
  const graph::Graph whole = models::build_training(job.model);
  for (const graph::Variable& variable : whole.variables()) {
    if (variable.name.starts_with("layers.1.")) unit += variable.bytes();
  }
  EXPECT_GT(plan.stand_ins.parameters, unit);
  EXPECT_LE(plan.stand_ins.parameters, 2 * unit + 64 * 20);  // places in the arena are aligned
}

}  // namespace
}  // namespace ashlar::train::testing
