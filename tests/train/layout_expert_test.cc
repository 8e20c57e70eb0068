// Mixtures of experts over ranks: every layout trains as one rank does, the balance of the experts'
// load included.
#include "tests/train/layout.h"
#include "tests/train/small_decoders.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ashlar::train::testing {
namespace {

class ExpertLayoutTest : public ::testing::TestWithParam<Layout> {};

TEST_P(ExpertLayoutTest, EqualsOneRankInDouble) {
  const LayoutJob job{.model = small_mixtral()};
  const LayoutResult wanted = run_layout(job, {}, Arithmetic::kDouble);
  const LayoutResult found = run_layout(job, GetParam(), Arithmetic::kDouble);
  expect_equal(found, wanted, kDoubleTolerance, GetParam().str());
}

TEST_P(ExpertLayoutTest, EqualsOneRankInFloat) {
  const LayoutJob job{.model = small_mixtral()};
  const LayoutResult wanted = run_layout(job, {}, Arithmetic::kKernels);
  const LayoutResult found = run_layout(job, GetParam(), Arithmetic::kKernels);
  expect_equal(found, wanted, kFloatTolerance, GetParam().str());
}

// Each rank has some experts, and tokens of its own.
INSTANTIATE_TEST_SUITE_P(
    Split, ExpertLayoutTest,
    ::testing::Values(Layout{.mesh = {.expert = 2}}, Layout{.mesh = {.expert = 4}},
                      Layout{.mesh = {.expert = 2}, .zero = 1},
                      Layout{.mesh = {.data = 2, .expert = 2}},
                      Layout{.mesh = {.data = 2, .expert = 2}, .zero = 2},
                      Layout{.mesh = {.data = 2, .expert = 2}, .zero = 3},
                      Layout{.mesh = {.tensor = 2, .expert = 2}},
                      Layout{.mesh = {.tensor = 2, .expert = 2}, .sequence = true},
                      Layout{.mesh = {.expert = 2, .context = 2}},
                      Layout{.mesh = {.expert = 2}, .recompute = passes::Recompute::kFull},
                      Layout{.mesh = {.data = 2, .tensor = 2, .expert = 2}, .zero = 1}));

// Each rank has all experts.
INSTANTIATE_TEST_SUITE_P(
    Whole, ExpertLayoutTest,
    ::testing::Values(Layout{.mesh = {.data = 2}}, Layout{.mesh = {.data = 4}},
                      Layout{.mesh = {.data = 2}, .zero = 1},
                      Layout{.mesh = {.data = 2}, .zero = 2},
                      Layout{.mesh = {.data = 4}, .zero = 3},
                      Layout{.mesh = {.data = 8}, .zero = 3},  // more ranks than experts
                      Layout{.mesh = {.context = 2}},
                      Layout{.mesh = {.context = 2}, .context = passes::ContextParallel::kZigzag},
                      Layout{.mesh = {.context = 2}, .context = passes::ContextParallel::kUlysses},
                      Layout{.mesh = {.tensor = 2}},
                      Layout{.mesh = {.tensor = 2}, .sequence = true},
                      Layout{.mesh = {.data = 2, .tensor = 2}, .zero = 3, .sequence = true}));

// What a capacity and chance drop does not depend on the layout: first choices of all ranks before
// any second one, in the order of the tokens of the whole microbatch.
TEST(ExpertCapacity, DropsTheSameOnAnyLayout) {
  LayoutJob job{.model = small_mixtral()};
  job.steps = 6;
  job.model.mixture.capacity = 0.8;
  job.model.mixture.random_second = true;
  const LayoutResult wanted = run_layout(job, {}, Arithmetic::kDouble);
  const LayoutResult in_float = run_layout(job, {}, Arithmetic::kKernels);
  LayoutJob dropless = job;
  dropless.model.mixture.capacity = 0;
  EXPECT_NE(run_layout(dropless, {}, Arithmetic::kDouble).losses, wanted.losses);
  for (const Layout& layout :
       {Layout{.mesh = {.data = 2}}, Layout{.mesh = {.context = 2}},
        Layout{.mesh = {.context = 2}, .context = passes::ContextParallel::kZigzag},
        Layout{.mesh = {.tensor = 2}, .sequence = true}, Layout{.mesh = {.expert = 2}},
        Layout{.mesh = {.data = 2, .expert = 2, .context = 2}}}) {
    expect_equal(run_layout(job, layout, Arithmetic::kDouble), wanted, kDoubleTolerance,
                 "capacity on " + layout.str());
    expect_equal(run_layout(job, layout, Arithmetic::kKernels), in_float, kFloatTolerance,
                 "capacity on " + layout.str());
  }
}

// Rows travel in bf16; the graph is the same in double, and the loss stays near one rank's.
TEST(ExpertDType, BF16StaysNearOneRank) {
  LayoutJob job{.model = small_mixtral()};
  job.steps = 6;
  const Layout alone{.dtype = DType::kBF16};
  const LayoutResult wanted = run_layout(job, alone, Arithmetic::kDouble);
  const auto losses = run_layout(job, alone, Arithmetic::kKernels).losses;
  for (const int zero : {0, 3}) {
    const Layout layout{.mesh = {.data = 2, .expert = 2}, .zero = zero, .dtype = DType::kBF16};
    expect_equal(run_layout(job, layout, Arithmetic::kDouble), wanted, kDoubleTolerance,
                 layout.str());
    const auto found = run_layout(job, layout, Arithmetic::kKernels).losses;
    for (size_t i = 0; i < losses.size(); ++i) {
      EXPECT_NEAR(found[i], losses[i], 0.01 * losses[i]) << layout.str() << ", step " << i + 1;
    }
  }
}

// A rank holds 1/p of the experts, and all of the rest.
TEST(ExpertMemory, WeightsAreOneShareOfTheExperts) {
  LayoutJob job{.model = small_mixtral()};
  job.steps = 1;
  const auto bytes = [&](const Layout& layout) {
    return run_layout(job, layout, Arithmetic::kKernels).bytes;
  };
  const int64_t whole = bytes({})[0].at(graph::VariableKind::kParameter);
  const models::DecoderConfig& model = job.model;
  const int64_t experts =
      model.layers * model.mixture.experts * 3 * model.width * model.ffn * int64_t{sizeof(float)};
  for (const int ranks : {2, 4}) {
    for (const auto& of_rank : bytes({.mesh = {.expert = ranks}})) {
      EXPECT_EQ(of_rank.at(graph::VariableKind::kParameter), whole - experts + experts / ranks);
      EXPECT_EQ(of_rank.at(graph::VariableKind::kGradient), whole - experts + experts / ranks);
      EXPECT_EQ(of_rank.at(graph::VariableKind::kOptimizer),
                2 * (whole - experts + experts / ranks));
    }
  }
}

// Rows of experts are exchanged along their axis, sums of gradients of the rest beside the data
// ranks' own.
TEST(ExpertTraffic, ExpertsAreSummedOverDataRanksOnly) {
  LayoutJob job{.model = small_mixtral()};
  job.steps = 1;
  const LayoutResult found =
      run_layout(job, {.mesh = {.data = 2, .expert = 2}}, Arithmetic::kKernels);
  const models::DecoderConfig& model = job.model;
  const int64_t experts = model.layers * model.mixture.experts * 3 * model.width * model.ffn;
  for (const comm::Counters& traffic : found.traffic) {
    // 2 (p-1)/p of each rank's half of the experts, p = 2 data ranks.
    EXPECT_EQ(traffic.of("data", comm::CommOp::kAllReduce).bytes,
              experts / 2 * int64_t{sizeof(float)});
    EXPECT_GT(traffic.of("expert", comm::CommOp::kAllToAll).bytes, 0);
  }
}

// EP1: forward and backward send 4 (p-1)/p E C rows of each layer, C the capacity over all tokens.
TEST(ExpertTraffic, PaddedMessagesAreOfTheCapacity) {
  LayoutJob job{.model = small_mixtral()};
  job.steps = 3;
  job.model.mixture.capacity = 1.1;
  const LayoutResult wanted = run_layout(job, {}, Arithmetic::kDouble);
  job.model.mixture.padded = true;
  const models::DecoderConfig& model = job.model;
  const int64_t experts = model.mixture.experts;
  const auto capacity = static_cast<int64_t>(
      std::ceil(static_cast<double>(model.mixture.per_token * job.batch * job.seq) /
                static_cast<double>(experts) * model.mixture.capacity));
  for (const Layout& layout :
       {Layout{.mesh = {.expert = 2}}, Layout{.mesh = {.expert = 4}},
        Layout{.mesh = {.data = 2, .expert = 2}}, Layout{.mesh = {.expert = 2, .context = 2}}}) {
    expect_equal(run_layout(job, layout, Arithmetic::kDouble), wanted, kDoubleTolerance,
                 "padded on " + layout.str());
    const int64_t ranks = layout.mesh.expert;
    for (const auto& traffic : run_layout(job, layout, Arithmetic::kKernels).traffic) {
      EXPECT_EQ(traffic.of("expert", comm::CommOp::kAllToAll).bytes,
                job.steps * model.layers * 4 * (ranks - 1) * experts / ranks * capacity *
                    model.width * int64_t{sizeof(float)})
          << layout.str();
    }
  }
}

}  // namespace
}  // namespace ashlar::train::testing
