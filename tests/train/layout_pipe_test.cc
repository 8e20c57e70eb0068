// Every pipeline schedule, alone and beside every other axis, trains as one rank does.
#include "tests/train/pipe_layout.h"
#include "tests/train/small_decoders.h"

#include <gtest/gtest.h>

namespace ashlar::train::testing {
namespace {

// So narrow that many layers are quick. GPT-2: tied head, dropout; LLaMA: its own head.
models::DecoderConfig narrow(models::DecoderConfig model, int64_t layers) {
  model.resize({.vocab = 19,
                .width = 8,
                .layers = layers,
                .heads = 2,
                .max_positions = 32,
                .kv_heads = 2,
                .ffn = 12});
  model.initializer_range = 0.15;
  if (model.family != "gpt2") model.rope.rotary_dim = model.head_dim;
  return model;
}

LayoutJob job_of(const models::DecoderConfig& model, const PipeLayout& layout,
                 int64_t microbatches) {
  LayoutJob job{.model = model};
  job.microbatches = microbatches;
  job.batch = microbatches * layout.layout.data_ranks();
  job.seq = 6;
  job.lr = 1e-3;
  job.update.clip = 0.5;  // some steps are clipped
  job.model = narrow(model, std::max<int64_t>(stages_of(job, layout), 2));
  return job;
}

// The same microbatches, one after another. (A mixture's balance is that of the rows of all ranks.)
LayoutResult on_one_rank(LayoutJob job, const PipeLayout& layout, Arithmetic arithmetic) {
  if (job.model.mixture.experts == 0) job.microbatches *= layout.layout.data_ranks();
  return run_layout(job, {}, arithmetic);
}

void expect_as_one_rank(const PipeLayout& layout, int64_t microbatches,
                        const models::DecoderConfig& model) {
  const LayoutJob job = job_of(model, layout, microbatches);
  const std::string what = model.family + " on " + layout.str();
  const PipeResult exact = run_pipe_layout(job, layout, Arithmetic::kDouble);
  expect_equal(exact.trained, on_one_rank(job, layout, Arithmetic::kDouble), kDoubleTolerance,
               what);
  const PipeResult fast = run_pipe_layout(job, layout, Arithmetic::kKernels);
  expect_equal(fast.trained, on_one_rank(job, layout, Arithmetic::kKernels), kFloatTolerance, what);
  if (model.tied_head) {
    EXPECT_GE(exact.copies, 2) << what;
    EXPECT_EQ(fast.copies, exact.copies) << what;
  }
}

class PipeSchedule : public ::testing::TestWithParam<PipeLayout> {};

TEST_P(PipeSchedule, EqualsOneRankOnTwo) {
  PipeLayout layout = GetParam();
  layout.layout.mesh.pipe = 2;
  expect_as_one_rank(layout, 4, small_gpt2());
}

TEST_P(PipeSchedule, EqualsOneRankOnFour) {
  PipeLayout layout = GetParam();
  layout.layout.mesh.pipe = 4;
  expect_as_one_rank(layout, 8, small_llama());
}

INSTANTIATE_TEST_SUITE_P(
    All, PipeSchedule,
    ::testing::Values(PipeLayout{.schedule = "gpipe"}, PipeLayout{.schedule = "1f1b"},
                      PipeLayout{.schedule = "interleaved"},
                      PipeLayout{.schedule = "interleaved", .chunks = 3},
                      PipeLayout{.schedule = "zb-h1"}, PipeLayout{.schedule = "zb-h2"},
                      PipeLayout{.schedule = "zb-v"}, PipeLayout{.schedule = "v-half"},
                      PipeLayout{.schedule = "v-min"}, PipeLayout{.schedule = "chimera"},
                      PipeLayout{.schedule = "hanayo"},
                      PipeLayout{.schedule = "hanayo", .chunks = 4},
                      PipeLayout{.schedule = "zb-h2", .optimistic = true},
                      PipeLayout{.schedule = "zb-v", .optimistic = true}));

// PP7: with four waves a rank of two holds eight stages, here of a layer each.
TEST(PipeWaves, FourEqualOneRank) {
  const PipeLayout layout{.layout = {.mesh = {.pipe = 2}}, .schedule = "hanayo", .chunks = 8};
  LayoutJob job{.model = small_gpt2()};
  job.microbatches = 4;
  EXPECT_EQ(stages_of(job, layout), 16);
  expect_as_one_rank(layout, 4, small_gpt2());
}

class PipeMixture : public ::testing::TestWithParam<PipeLayout> {};

TEST_P(PipeMixture, EqualsOneRank) {
  for (const models::DecoderConfig& model : {small_gpt2(), small_llama()}) {
    expect_as_one_rank(GetParam(), 4, model);
  }
}

INSTANTIATE_TEST_SUITE_P(
    WithData, PipeMixture,
    ::testing::Values(
        PipeLayout{.layout = {.mesh = {.data = 2, .pipe = 2}}},
        PipeLayout{.layout = {.mesh = {.data = 2, .pipe = 2}}, .schedule = "chimera"},
        PipeLayout{.layout = {.mesh = {.data = 2, .pipe = 2}, .zero = 1}},
        PipeLayout{.layout = {.mesh = {.data = 2, .pipe = 4}, .zero = 1}},
        PipeLayout{.layout = {.mesh = {.data = 2, .pipe = 2}, .zero = 1}, .schedule = "zb-v"},
        PipeLayout{.layout = {.mesh = {.data = 2, .pipe = 4}, .zero = 1}, .schedule = "zb-h2"},
        PipeLayout{.layout = {.mesh = {.data = 2, .pipe = 2}, .zero = 1}, .schedule = "chimera"},
        PipeLayout{.layout = {.mesh = {.data = 2, .pipe = 2}, .zero = 2}},
        PipeLayout{.layout = {.mesh = {.data = 2, .pipe = 2}, .zero = 2}, .schedule = "zb-h2"},
        PipeLayout{.layout = {.mesh = {.data = 2, .pipe = 2}, .zero = 3}}));

INSTANTIATE_TEST_SUITE_P(
    WithTensor, PipeMixture,
    ::testing::Values(PipeLayout{.layout = {.mesh = {.tensor = 2, .pipe = 2}}},
                      PipeLayout{.layout = {.mesh = {.tensor = 2, .pipe = 2}, .sequence = true}},
                      PipeLayout{.layout = {.mesh = {.tensor = 2, .pipe = 2}}, .schedule = "zb-h1"},
                      PipeLayout{.layout = {.mesh = {.data = 2, .tensor = 2, .pipe = 2}}},
                      PipeLayout{.layout = {.mesh = {.data = 2, .tensor = 2, .pipe = 2}, .zero = 1},
                                 .schedule = "interleaved"}));

INSTANTIATE_TEST_SUITE_P(
    WithContext, PipeMixture,
    ::testing::Values(PipeLayout{.layout = {.mesh = {.pipe = 2, .context = 2}}},
                      PipeLayout{.layout = {.mesh = {.pipe = 2, .context = 2},
                                            .context = passes::ContextParallel::kUlysses}}));

INSTANTIATE_TEST_SUITE_P(
    WithRecomputation, PipeMixture,
    ::testing::Values(
        PipeLayout{.layout = {.mesh = {.pipe = 2}, .recompute = passes::Recompute::kFull}},
        PipeLayout{.layout = {.mesh = {.pipe = 2}, .recompute = passes::Recompute::kSelective},
                   .schedule = "zb-h1"},
        PipeLayout{.layout = {.mesh = {.pipe = 2}, .recompute = passes::Recompute::kSqrt},
                   .schedule = "interleaved"}));

class PipeExperts : public ::testing::TestWithParam<PipeLayout> {};

// How experts are used adds up along the stages, and the gradient of their balance goes to all.
TEST_P(PipeExperts, EqualsOneRank) {
  const bool dealt = GetParam().layout.data_ranks() > 1;
  expect_as_one_rank(GetParam(), dealt ? 1 : 4, small_mixtral());
}

INSTANTIATE_TEST_SUITE_P(
    All, PipeExperts,
    ::testing::Values(PipeLayout{.layout = {.mesh = {.pipe = 2}}},
                      PipeLayout{.layout = {.mesh = {.pipe = 2}}, .schedule = "zb-v"},
                      PipeLayout{.layout = {.mesh = {.tensor = 2, .pipe = 2}}},
                      PipeLayout{.layout = {.mesh = {.pipe = 2, .context = 2}}},
                      PipeLayout{.layout = {.mesh = {.pipe = 2, .expert = 2}}},
                      PipeLayout{.layout = {.mesh = {.pipe = 2, .expert = 2}, .zero = 1}}));

// A border carries the residual stream, once with F and once with B. Tensor ranks hold it alike:
// each sends its share, and those behind put the shares together (Narayanan et al. 2021). With
// sequence parallelism each has its rows.
TEST(PipeBytes, TensorRanksShareABorder) {
  for (const models::DecoderConfig& model : {small_llama(), small_gpt2()}) {
    for (const auto& [data, t, sequence] :
         {std::tuple(1, 1, false), {1, 2, false}, {1, 2, true}, {2, 2, false}}) {
      const PipeLayout layout{
          .layout = {.mesh = {.data = data, .tensor = t, .pipe = 2}, .sequence = sequence}};
      LayoutJob job = job_of(model, layout, 4);
      job.steps = 2;
      const auto traffic = run_pipe_layout(job, layout, Arithmetic::kKernels).trained.traffic;
      const int64_t border = job.seq * job.model.width * 4;  // of a microbatch
      for (const comm::Counters& rank : traffic) {
        EXPECT_EQ(rank.of("pipe", comm::CommOp::kSend).bytes, job.steps * 4 * border / t)
            << model.family << " on " << layout.str();
        if (sequence) continue;
        EXPECT_EQ(rank.of("tensor", comm::CommOp::kAllGather).bytes,
                  job.steps * 4 * border * (t - 1) / t)
            << model.family << " on " << layout.str();
      }
    }
  }
}

// A stage's parameters, gradients and moments are where it is, and nowhere else.
TEST(PipeBytes, RanksHoldTheirStages) {
  const PipeLayout layout{.layout = {.mesh = {.pipe = 4}}};
  const LayoutJob job = job_of(small_llama(), layout, 4);
  const auto held = run_pipe_layout(job, layout, Arithmetic::kKernels).trained.bytes;
  const auto whole = on_one_rank(job, layout, Arithmetic::kKernels).bytes[0];
  for (const auto& [kind, bytes] : whole) {
    if (kind == graph::VariableKind::kConstant) continue;
    int64_t sum = 0;
    for (const auto& rank : held) sum += rank.at(kind);
    EXPECT_EQ(sum, bytes) << graph::name(kind);
    EXPECT_LT(held[1].at(kind), bytes / 4) << graph::name(kind);
  }
}

}  // namespace
}  // namespace ashlar::train::testing
