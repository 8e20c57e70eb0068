// Mixtures of experts over ranks: every layout trains as one rank does, the balance of the experts'
// load included.
#include "tests/train/layout.h"
#include "tests/train/small_decoders.h"

#include <gtest/gtest.h>

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

// Each rank has all experts.
INSTANTIATE_TEST_SUITE_P(
    Whole, ExpertLayoutTest,
    ::testing::Values(Layout{.mesh = {.data = 2}}, Layout{.mesh = {.data = 4}},
                      Layout{.mesh = {.data = 2}, .zero = 1},
                      Layout{.mesh = {.data = 2}, .zero = 2},
                      Layout{.mesh = {.data = 4}, .zero = 3}, Layout{.mesh = {.context = 2}},
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
        Layout{.mesh = {.tensor = 2}, .sequence = true},
        Layout{.mesh = {.data = 2, .context = 2}}}) {
    expect_equal(run_layout(job, layout, Arithmetic::kDouble), wanted, kDoubleTolerance,
                 "capacity on " + layout.str());
    expect_equal(run_layout(job, layout, Arithmetic::kKernels), in_float, kFloatTolerance,
                 "capacity on " + layout.str());
  }
}

}  // namespace
}  // namespace ashlar::train::testing
