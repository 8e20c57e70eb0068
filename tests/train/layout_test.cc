// Every way of spreading a model over ranks trains as one rank does.
#include "tests/train/layout.h"

#include "tests/train/small_decoders.h"

#include <gtest/gtest.h>

#include <map>
#include <tuple>

namespace ashlar::train::testing {
namespace {

class LayoutTest : public ::testing::TestWithParam<Layout> {
 protected:
  static void expect_as_one_rank(Arithmetic arithmetic, int64_t steps, const Tolerance& tolerance) {
    const Layout& layout = GetParam();
    for (const models::DecoderConfig& model : small_models(layout.ranks_of_heads())) {
      LayoutJob job{.model = model};
      job.steps = steps;
      // One rank's run is that of many layouts.
      static std::map<std::tuple<std::string, int64_t, Arithmetic>, LayoutResult> of_one;
      const std::tuple key(model.family, model.kv_heads, arithmetic);
      if (!of_one.contains(key)) of_one[key] = run_layout(job, {}, arithmetic);
      expect_equal(run_layout(job, layout, arithmetic), of_one[key], tolerance,
                   model.family + " on " + layout.str());
    }
  }
};

TEST_P(LayoutTest, EqualsOneRankInDouble) {
  expect_as_one_rank(Arithmetic::kDouble, 4, kDoubleTolerance);
}

TEST_P(LayoutTest, EqualsOneRankInFloat) {
  expect_as_one_rank(Arithmetic::kKernels, 20, kFloatTolerance);
}

// bf16 rounds each term before ranks add them: the loss stays near one rank's, and the graph is the
// same in double.
TEST(LayoutDType, BF16StaysNearOneRank) {
  for (const int zero : {0, 1, 2, 3}) {
    const Layout layout{.mesh = {.data = 2, .tensor = 2}, .zero = zero, .dtype = DType::kBF16};
    LayoutJob job{.model = small_llama()};
    job.steps = 6;
    expect_equal(run_layout(job, layout, Arithmetic::kDouble),
                 run_layout(job, {.dtype = DType::kBF16}, Arithmetic::kDouble), kDoubleTolerance,
                 layout.str());
    const auto found = run_layout(job, layout, Arithmetic::kKernels).losses;
    const auto wanted = run_layout(job, {.dtype = DType::kBF16}, Arithmetic::kKernels).losses;
    for (size_t i = 0; i < wanted.size(); ++i) {
      EXPECT_NEAR(found[i], wanted[i], 0.01 * wanted[i]) << layout.str() << ", step " << i + 1;
    }
  }
}

// Muon looks at whole matrices: tensor ranks gather their momentum.
TEST(LayoutMuon, EqualsOneRank) {
  for (const models::DecoderConfig& model : {small_llama(), small_gpt2()}) {
    LayoutJob job{.model = model};
    job.update.optimizer = Optimizer::kMuon;
    job.steps = 4;
    for (const Layout& layout :
         {Layout{.mesh = {.tensor = 2}}, Layout{.mesh = {.data = 2, .tensor = 2}, .zero = 1},
          Layout{.mesh = {.tensor = 2, .context = 2}, .sequence = true}}) {
      expect_equal(run_layout(job, layout, Arithmetic::kDouble),
                   run_layout(job, {}, Arithmetic::kDouble), kDoubleTolerance, layout.str());
      expect_equal(run_layout(job, layout, Arithmetic::kKernels),
                   run_layout(job, {}, Arithmetic::kKernels), kFloatTolerance, layout.str());
    }
  }
}

// Gradients kept in bf16: ranks add rounded terms, and the sum is rounded again.
TEST(LayoutDType, GradientsInBF16StayNearThoseInF32) {
  LayoutJob job{.model = small_gpt2()};  // a tied table: two terms of one gradient
  job.steps = 6;
  job.microbatches = 2;
  const auto wanted = run_layout(job, {.dtype = DType::kBF16}, Arithmetic::kKernels).losses;
  const LayoutResult one = run_layout(job, {.dtype = DType::kBF16}, Arithmetic::kDouble);
  for (const int zero : {0, 1, 2, 3}) {
    for (const MeshSizes mesh : {MeshSizes{.data = 4}, MeshSizes{.data = 2, .context = 2}}) {
      const Layout layout{
          .mesh = mesh, .zero = zero, .dtype = DType::kBF16, .grad_dtype = DType::kBF16};
      expect_equal(run_layout(job, layout, Arithmetic::kDouble), one, kDoubleTolerance,
                   layout.str());
      const auto found = run_layout(job, layout, Arithmetic::kKernels).losses;
      for (size_t i = 0; i < wanted.size(); ++i) {
        EXPECT_NEAR(found[i], wanted[i], 0.01 * wanted[i]) << layout.str() << ", step " << i + 1;
      }
      EXPECT_NE(found, wanted) << "nothing was rounded";
    }
  }
}

INSTANTIATE_TEST_SUITE_P(Data, LayoutTest,
                         ::testing::Values(Layout{.mesh = {.data = 2}}, Layout{.mesh = {.data = 4}},
                                           Layout{.mesh = {.data = 8}},
                                           Layout{.mesh = {.data = 2}, .zero = 1},
                                           Layout{.mesh = {.data = 4}, .zero = 2},
                                           Layout{.mesh = {.data = 4}, .zero = 3}));

INSTANTIATE_TEST_SUITE_P(
    Context, LayoutTest,
    ::testing::Values(Layout{.mesh = {.context = 2}}, Layout{.mesh = {.context = 3}},
                      Layout{.mesh = {.context = 2}, .context = passes::ContextParallel::kZigzag},
                      Layout{.mesh = {.context = 2}, .context = passes::ContextParallel::kUlysses},
                      Layout{.mesh = {.context = 4}},
                      Layout{.mesh = {.context = 4}, .context = passes::ContextParallel::kZigzag},
                      Layout{.mesh = {.context = 4}, .context = passes::ContextParallel::kUlysses},
                      Layout{.mesh = {.data = 2, .context = 2}, .zero = 1}));

INSTANTIATE_TEST_SUITE_P(
    Tensor, LayoutTest,
    ::testing::Values(
        Layout{.mesh = {.tensor = 2}}, Layout{.mesh = {.tensor = 2}, .sequence = true},
        Layout{.mesh = {.tensor = 4}}, Layout{.mesh = {.tensor = 4}, .sequence = true},
        Layout{.mesh = {.data = 2, .tensor = 2}, .zero = 3},
        Layout{.mesh = {.data = 2, .tensor = 2}, .zero = 2, .sequence = true},
        Layout{.mesh = {.data = 2, .tensor = 2}, .zero = 3, .sequence = true},
        Layout{.mesh = {.data = 2, .tensor = 2, .context = 2}, .zero = 3, .sequence = true},
        Layout{.mesh = {.tensor = 2, .context = 2}, .sequence = true}));

}  // namespace
}  // namespace ashlar::train::testing
