// Memory claims on a device with a hard cap: the cap is what the method's formula leaves of the
// plain run, or of a smaller one. Under it the method trains and the plain run cannot begin; a byte
// below what its own plan holds, the method cannot either.
// h: width, f: inner width, a: heads, L: layers, T: tokens of a microbatch, p: ranks.
#include "ashlar/base/error.h"
#include "ashlar/models/decoder_graphs.h"
#include "tests/train/pipe_layout.h"
#include "tests/train/small_decoders.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ashlar::train::testing {
namespace {

using graph::Variable;
using graph::VariableKind;

constexpr int64_t kFloat = 4, kBucket = 80000;  // half of a bucket has room for any gradient

LayoutJob job_of(int64_t layers, int64_t seq) {
  LayoutJob job{.model = small_llama(), .seq = seq};
  job.model.resize({.vocab = 37,
                    .width = 64,
                    .layers = layers,
                    .heads = 4,
                    .max_positions = 64,
                    .kv_heads = 2,
                    .ffn = 128});
  job.model.initializer_range = 0.05;  // wide rows: gradients as small as those of real models
  job.steps = 2;
  return job;
}

std::vector<Variable> trained(const LayoutJob& job) {
  const graph::Graph graph = models::build_training(job.model);
  std::vector<Variable> result;
  for (const Variable& variable : graph.variables()) {
    if (variable.kind == VariableKind::kParameter && variable.trainable) result.push_back(variable);
  }
  return result;
}

// Of the parameters: their number, and that of one row of each, by which shares may be uneven.
struct Elements {
  int64_t all = 0, matrices = 0, rows = 0;
};
Elements elements_of(const LayoutJob& job) {
  Elements elements;
  for (const Variable& variable : trained(job)) {
    elements.all += variable.shape.elements();
    if (variable.shape.rank() > 1) elements.matrices += variable.shape.elements();
    elements.rows += variable.shape.elements() / variable.shape[0];
  }
  return elements;
}

LayoutResult run(LayoutJob job, const PipeLayout& layout, int64_t cap = sim::TaggedArena::kNoCap) {
  job.device_bytes = cap;
  return layout.layout.mesh.pipe > 1 ? run_pipe_layout(job, layout, Arithmetic::kKernels).trained
                                     : run_layout(job, layout.layout, Arithmetic::kKernels);
}

// Before the first step: memory is planned.
LayoutResult planned(LayoutJob job, const PipeLayout& layout) {
  job.steps = 0;
  return run(job, layout);
}
// Of the fullest rank.
int64_t held(const LayoutJob& job, const PipeLayout& layout) {
  return std::ranges::max(planned(job, layout).device_bytes);
}

void expect_only_trains(const LayoutJob& job, const PipeLayout& method, const PipeLayout& plain,
                        int64_t cap) {
  EXPECT_THROW(run(job, plain, cap), Error) << plain.str() << " fits into " << cap;
  const int64_t own = held(job, method);
  EXPECT_LE(own, cap) << method.str();
  EXPECT_THROW(run(job, method, own - 1), Error) << method.str() << " fits into less than " << own;
  const LayoutResult found = run(job, method, cap);
  const DType dtype = method.layout.dtype;
  const LayoutResult wanted = run(job, {.layout = {.dtype = dtype}});
  const double tolerance = dtype == DType::kF32 ? kFloatTolerance.loss : 0.01;
  for (size_t i = 0; i < wanted.losses.size(); ++i) {
    EXPECT_NEAR(found.losses[i], wanted.losses[i], tolerance * wanted.losses[i]) << method.str();
  }
}

// DP3: 8 bytes of moments a parameter are shared out.
TEST(DeviceCap, ZeRO1LeavesOutMoments) {
  const LayoutJob job = job_of(6, 6);
  const PipeLayout plain{.layout = {.mesh = {.data = 4}}};
  const PipeLayout zero{.layout = {.mesh = {.data = 4}, .zero = 1}};
  const Elements elements = elements_of(job);
  expect_only_trains(job, zero, plain,
                     held(job, plain) - 8 * elements.all * 3 / 4 + 8 * elements.rows);
}

// DP4: then 4 bytes of gradients, but for one bucket; in mixed precision 2.
TEST(DeviceCap, ZeRO2LeavesOutGradients) {
  const LayoutJob job = job_of(6, 6);
  const Elements elements = elements_of(job);
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    PipeLayout plain{.layout = {.mesh = {.data = 4},
                                .zero = 1,
                                .dtype = dtype,
                                .grad_dtype = dtype,
                                .bucket_bytes = kBucket}};
    PipeLayout zero = plain;
    zero.layout.zero = 2;
    const int64_t vectors = elements.all - elements.matrices;
    const int64_t gradients = size_of(dtype) * elements.matrices + kFloat * vectors;
    expect_only_trains(job, zero, plain,
                       held(job, plain) - gradients * 3 / 4 + kBucket + kFloat * elements.rows);
  }
}

// TP1: half of each matrix that two ranks share, and of its 12 bytes of gradient and moments.
TEST(DeviceCap, TensorRanksHaveHalfOfTheMatrices) {
  const LayoutJob job = job_of(6, 6);
  int64_t shared = 0;
  for (const Variable& variable : trained(job)) {
    const bool splits = std::ranges::any_of(variable.dims, [](const std::string& dim) {
      return dim == "heads" || dim == "kv_heads" || dim == "ffn" || dim == "vocab";
    });
    if (splits) shared += variable.shape.elements();
  }
  const Elements elements = elements_of(job);
  expect_only_trains(job, {.layout = {.mesh = {.tensor = 2}}}, {},
                     held(job, {}) - 16 * shared / 2 + 16 * elements.rows);
}

// SP2: half of what enters the two norms of a layer.
TEST(DeviceCap, SequenceParallelLeavesOutRowsBetweenSplits) {
  const LayoutJob job = job_of(6, 32);
  const PipeLayout plain{.layout = {.mesh = {.tensor = 2}}};
  const PipeLayout sequence{.layout = {.mesh = {.tensor = 2}, .sequence = true}};
  const int64_t tokens = job.batch * job.seq;
  expect_only_trains(
      job, sequence, plain,
      held(job, plain) - job.model.layers * 2 * job.model.width * tokens / 2 * kFloat);
}

// SP3: two ranks take what one takes for half the sequence.
TEST(DeviceCap, ARingHasRoomForTwiceTheSequence) {
  const int64_t cap = held(job_of(4, 32), {});
  expect_only_trains(job_of(4, 64), {.layout = {.mesh = {.context = 2}}}, {}, cap);
}

// RC1, RC4. Of a layer forward leaves 7h + 3f and keys and values (of half as many heads: h), the
// log-sums of a heads and two of norms; attention alone h + a.
TEST(DeviceCap, RecomputationLeavesOutActivations) {
  const LayoutJob job = job_of(6, 32);
  const int64_t h = job.model.width, f = job.model.ffn, a = job.model.heads;
  const int64_t tokens = job.batch * job.seq * kFloat, layers = job.model.layers;
  const int64_t layer = (7 * h + 3 * f + a + 2) * tokens, input = h * tokens;
  const int64_t none = held(job, {});
  const auto with = [](passes::Recompute mode) {
    return PipeLayout{.layout = {.recompute = mode}};
  };
  expect_only_trains(job, with(passes::Recompute::kSelective), {},
                     none - layers * (h + a) * tokens);
  // What enters each layer, and one layer whole; or two segments of three layers.
  expect_only_trains(job, with(passes::Recompute::kFull), {},
                     none - (layers - 1) * (layer - input));
  expect_only_trains(job, with(passes::Recompute::kSqrt), {}, none - 3 * layer + input);
}

// Beside tensor ranks: of a layer they hold alike what enters its norms and what these give (4h),
// of the rest a share each.
TEST(DeviceCap, RecomputationLeavesOutSharesOfTensorRanks) {
  const LayoutJob job = job_of(6, 32);
  const int64_t h = job.model.width, f = job.model.ffn, a = job.model.heads, t = 2;
  const int64_t tokens = job.batch * job.seq * kFloat, layers = job.model.layers;
  const int64_t layer = (4 * h + (3 * h + 3 * f + a) / t + 2) * tokens, input = h * tokens;
  const PipeLayout plain{.layout = {.mesh = {.tensor = 2}}};
  const auto with = [&](passes::Recompute mode) {
    PipeLayout layout = plain;
    layout.layout.recompute = mode;
    return layout;
  };
  const int64_t none = held(job, plain);
  expect_only_trains(job, with(passes::Recompute::kSelective), plain,
                     none - (layers - 1) * (h + a) / t * tokens);
  expect_only_trains(job, with(passes::Recompute::kFull), plain,
                     none - (layers - 1) * (layer - input));
}

// EP3: 16 bytes of each weight of half of the experts are elsewhere. For that a rank has room for
// the rows of all tokens, twice as many as its own: h in and out, 3f between, and their gradients.
TEST(DeviceCap, ExpertRanksHaveHalfOfTheExperts) {
  LayoutJob job{.model = small_mixtral(), .batch = 4, .seq = 6};
  job.model.resize({.vocab = 37,
                    .width = 64,
                    .layers = 2,
                    .heads = 4,
                    .max_positions = 32,
                    .kv_heads = 2,
                    .ffn = 128});
  job.model.initializer_range = 0.05;
  job.steps = 2;
  const int64_t h = job.model.width, f = job.model.ffn, layers = job.model.layers;
  const int64_t experts = layers * job.model.mixture.experts * 3 * h * f;
  const int64_t more_rows = job.batch * job.seq * job.model.mixture.per_token / 2;
  const PipeLayout plain{.layout = {.mesh = {.data = 2}}};
  expect_only_trains(
      job, {.layout = {.mesh = {.expert = 2}}}, plain,
      held(job, plain) - 16 * experts / 2 + layers * more_rows * (2 * h + 3 * f) * 2 * kFloat);
}

PipeLayout pipe(const char* schedule) {
  return {.layout = {.mesh = {.pipe = 4}}, .schedule = schedule};
}
LayoutJob pipe_job(int64_t microbatches) {
  LayoutJob job = job_of(8, 16);
  job.batch = job.microbatches = microbatches;
  return job;
}

// PP4, PP11, PP12: as many microbatches as one likes where GPipe has room for p; zero bubble has
// its price, and a third of the activations need the least.
TEST(DeviceCap, SchedulesKeepToTheirPeaks) {
  const int64_t gpipe = held(pipe_job(4), pipe("gpipe"));
  expect_only_trains(pipe_job(16), pipe("1f1b"), pipe("gpipe"), gpipe);
  const int64_t h1 = held(pipe_job(4), pipe("zb-h1"));
  expect_only_trains(pipe_job(16), pipe("zb-h1"), pipe("zb-h2"), h1);
  expect_only_trains(pipe_job(16), pipe("v-min"), pipe("1f1b"),
                     held(pipe_job(16), pipe("1f1b")) - 1);
}

// PP5: two chunks a rank hold p + (p-1)/2 microbatches of its layers, less than GPipe with six.
// PP11: ZB-H2 holds those that it warms up with, 2p - 1, however many there are.
TEST(DeviceCap, InterleavedAndZeroBubbleHoldTheirWarmUp) {
  expect_only_trains(pipe_job(16), pipe("interleaved"), pipe("gpipe"),
                     held(pipe_job(6), pipe("gpipe")));
  expect_only_trains(pipe_job(16), pipe("zb-h2"), pipe("gpipe"), held(pipe_job(7), pipe("zb-h2")));
}

// HY1: a stage of two has half of what data and tensor ranks hold of the layers, with their
// activations as many, and beside it the two messages each way.
TEST(DeviceCap, ThreeAxesShareOutTheModel) {
  LayoutJob job = job_of(8, 16);
  job.microbatches = 2;
  const PipeLayout all{.layout = {.mesh = {.data = 2, .tensor = 2, .pipe = 2}}};
  const PipeLayout no_pipe{.layout = {.mesh = {.data = 2, .tensor = 2}}};
  int64_t layer = 0;  // matrices that tensor ranks share
  for (const Variable& variable : trained(job)) {
    if (variable.name.starts_with("layers.0.") && variable.shape.rank() > 1) {
      layer += variable.shape.elements();
    }
  }
  const int64_t message = job.batch / 2 / job.microbatches * job.seq * job.model.width * kFloat;
  const int64_t cap = held(job, no_pipe) - 16 * job.model.layers / 2 * layer / 2 + 4 * message;
  expect_only_trains(job, all, no_pipe, cap);
  EXPECT_THROW(run(job, {}, cap), Error);
  EXPECT_THROW(run(job, {.layout = {.mesh = {.data = 2, .pipe = 2}}}, cap), Error);
}

// The same to the byte on the two ranks in the middle, whose stages are alike: GPipe holds m slots,
// 1F1B p - i. ZB-H1 holds p - i until B and p until W, ZB-H2 2(p - i) - 1 and 2p - 1.
TEST(DeviceCap, PipelinesHoldSlotsOfOneSize) {
  const auto bytes = [](const char* schedule, int64_t microbatches, size_t rank) {
    return planned(pipe_job(microbatches), pipe(schedule)).arena_bytes[rank];
  };
  const int64_t slot = (bytes("gpipe", 8, 1) - bytes("gpipe", 4, 1)) / 4;
  EXPECT_GT(slot, 0);
  EXPECT_EQ(bytes("gpipe", 12, 1) - bytes("gpipe", 8, 1), 4 * slot);
  EXPECT_EQ(bytes("1f1b", 8, 1) - bytes("1f1b", 8, 2), slot);
  EXPECT_EQ(bytes("gpipe", 8, 1) - bytes("1f1b", 8, 1), (8 - 3) * slot);
  EXPECT_EQ(bytes("1f1b", 12, 1), bytes("1f1b", 8, 1));
  const int64_t until_backward = bytes("zb-h1", 8, 1) - bytes("zb-h1", 8, 2);
  EXPECT_EQ(bytes("zb-h2", 8, 1) - bytes("zb-h2", 8, 2), 2 * until_backward);
  const auto until_weight = [&](size_t rank, int64_t ahead) {  // of three microbatches
    return bytes("zb-h2", 8, rank) - bytes("zb-h1", 8, rank) - (ahead - 1) * until_backward;
  };
  EXPECT_EQ(until_weight(1, 3), until_weight(2, 2));
}

// PP6, PP7: Chimera holds the model twice, waves once.
TEST(DeviceCap, ChimeraHoldsTheModelTwice) {
  const auto parameters = [](const PipeLayout& layout) {
    int64_t sum = 0;
    for (const auto& rank : planned(pipe_job(4), layout).bytes)
      sum += rank.at(VariableKind::kParameter);
    return sum;
  };
  const int64_t once = parameters({});
  EXPECT_EQ(parameters(pipe("chimera")), 2 * once);
  EXPECT_EQ(parameters(pipe("hanayo")), once);
  EXPECT_EQ(parameters(pipe("interleaved")), once);
}

}  // namespace
}  // namespace ashlar::train::testing
