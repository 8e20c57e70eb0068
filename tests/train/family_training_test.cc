// Every family of decoders trains from scratch, and what they differ in is spread over ranks as one
// rank computes it.
#include "ashlar/base/cpu.h"
#include "ashlar/models/family.h"
#include "ashlar/train/golden_train.h"
#include "tests/base/temp_dir.h"
#include "tests/models/encoder_models.h"
#include "tests/models/family_models.h"
#include "tests/train/layout.h"
#include "tests/train/pipe_layout.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>
#include <numeric>

namespace ashlar::train::testing {
namespace {

models::DecoderConfig small(const std::string& family) {
  models::DecoderSizes sizes{.vocab = 37,
                             .width = 24,
                             .layers = 2,
                             .heads = 4,
                             .max_positions = 32,
                             .kv_heads = 2,
                             .head_dim = 8,
                             .ffn = 20};
  if (models::find_family(family).blank().mixture.experts > 0) {
    sizes.experts = 4;
    sizes.experts_per_token = 2;
  }
  if (family.starts_with("deepseek")) sizes.kv_heads = sizes.heads;  // latent attention's
  if (!models::find_family(family).blank().causal) sizes.kv_heads = sizes.heads;
  models::DecoderConfig config = models::new_decoder(family, sizes);
  config.initializer_range = 0.3;
  config.mixture.balance = false;
  return config;
}

class FamilyTraining : public ::testing::TestWithParam<std::string> {};

TEST_P(FamilyTraining, LossFalls) {
  LayoutJob job{.model = small(GetParam())};
  job.steps = 20;
  job.lr = 1e-2;
  const std::vector<double> losses = run_layout(job, {}, Arithmetic::kKernels).losses;
  // Every step has tokens of its own, so a few of them count together.
  const double first = std::accumulate(losses.begin(), losses.begin() + 4, 0.0) / 4;
  const double last = std::accumulate(losses.end() - 4, losses.end(), 0.0) / 4;
  // They are drawn at random: nothing beats guessing evenly, where some families begin.
  EXPECT_LT(last, std::max(first - 0.1, std::log(37.0) + 0.05));
}

std::vector<std::string> all_families() {
  std::vector<std::string> names;
  for (const models::Family& family : models::families()) names.emplace_back(family.model_type);
  for (const models::Family& family : models::encoder_families()) {
    names.emplace_back(family.model_type);
  }
  return names;
}

std::string test_name(std::string family) {
  std::ranges::replace(family, '-', '_');
  return family;
}

INSTANTIATE_TEST_SUITE_P(All, FamilyTraining, ::testing::ValuesIn(all_families()),
                         [](const auto& family) { return test_name(family.param); });

// Losses and gradient norms of steps of AdamW.
class FamilySteps : public ::testing::TestWithParam<std::string> {};

TEST_P(FamilySteps, EqualTransformers) {
  const ashlar::testing::TempDir folder;
  ThreadPool pool(2);
  const auto golden = check_golden_train(
      ashlar::testing::make_family_model(GetParam(), folder.path()), pool, best_isa_tier());
  ASSERT_TRUE(golden.has_value());
  ASSERT_GT(golden->checks.size(), 10u);
  for (const GoldenCheck& check : golden->checks) {
    EXPECT_TRUE(check.passed()) << check.name << ": " << check.found << " instead of "
                                << check.wanted;
  }
}

INSTANTIATE_TEST_SUITE_P(All, FamilySteps, ::testing::ValuesIn(ashlar::testing::family_models()),
                         [](const auto& model) { return model.param; });

class EncoderSteps : public ::testing::TestWithParam<const char*> {};

TEST_P(EncoderSteps, EqualTransformers) {
  const ashlar::testing::TempDir folder;
  ashlar::testing::write_encoder_model(folder.path(), ashlar::testing::encoder_golden(GetParam()));
  ThreadPool pool(2);
  const auto golden = check_golden_train(folder.path(), pool, best_isa_tier());
  ASSERT_TRUE(golden.has_value());
  ASSERT_GT(golden->checks.size(), 10u);
  for (const GoldenCheck& check : golden->checks) {
    EXPECT_TRUE(check.passed()) << check.name << ": " << check.found << " instead of "
                                << check.wanted;
  }
}

INSTANTIATE_TEST_SUITE_P(All, EncoderSteps,
                         ::testing::ValuesIn(ashlar::testing::kEncodersWithHeads),
                         [](const auto& model) { return std::string(model.param); });

class FamilyLayout : public ::testing::TestWithParam<std::string> {};

// Norms of heads, ALiBi, windows, soft caps, a head's bias, projections of the embedding; encoders.
models::DecoderConfig peculiar(const std::string& family) {
  models::DecoderConfig config = small(family);
  if (family == "cohere") config.qk_norm = models::QkNorm::kEachHead;
  if (family == "phi") config.qk_norm = models::QkNorm::kHead;
  if (family == "gemma2") config.pattern = {{.window = 5}, {}};
  if (family == "modernbert") config.pattern = {{}, {.window = 3, .local_rope = true}};
  if (family == "opt") {
    config.norm_placement = models::NormPlacement::kStream;
    config.final_norm = false;
    config.embedding_width = 12;
  }
  return config;
}

TEST_P(FamilyLayout, EqualsOneRank) {
  LayoutJob job{.model = peculiar(GetParam())};
  job.steps = 2;
  const LayoutResult wanted = run_layout(job, {}, Arithmetic::kDouble);
  for (const Layout& layout :
       {Layout{.mesh = {.tensor = 2}}, Layout{.mesh = {.tensor = 2}, .sequence = true},
        Layout{.mesh = {.context = 2}},
        Layout{.mesh = {.context = 2}, .context = passes::ContextParallel::kUlysses},
        Layout{.mesh = {.data = 2}, .zero = 3}}) {
    expect_equal(run_layout(job, layout, Arithmetic::kDouble), wanted, kDoubleTolerance,
                 GetParam() + " on " + layout.str());
  }
}

INSTANTIATE_TEST_SUITE_P(Some, FamilyLayout,
                         ::testing::Values("bert", "bloom", "cohere", "gemma2", "modernbert",
                                           "olmo2", "opt", "phi", "qwen3"),
                         [](const auto& family) { return std::string(family.param); });

// OLMo 2's norms over all heads, which tensor ranks share.
class NormsOverHeads : public ::testing::Test {
 protected:
  static LayoutJob job() {
    LayoutJob job{.model = small("olmo2")};
    job.model.kv_heads = job.model.heads;
    job.model.qkv_bias = true;
    job.steps = 2;
    return job;
  }
  static int64_t tensor_bytes(const LayoutResult& result) {
    int64_t bytes = 0;
    for (const comm::Counters& rank : result.traffic) {
      for (const auto& [key, traffic] : rank.entries()) {
        if (key.first == "tensor") bytes += traffic.bytes;
      }
    }
    return bytes;
  }
};

TEST_F(NormsOverHeads, AreThoseOfOneRankOnEveryLayout) {
  const LayoutResult wanted = run_layout(job(), {}, Arithmetic::kDouble);
  const LayoutResult wanted_floats = run_layout(job(), {}, Arithmetic::kKernels);
  for (const Layout& layout :
       {Layout{.mesh = {.tensor = 4}}, Layout{.mesh = {.tensor = 4}, .sequence = true},
        Layout{.mesh = {.data = 2, .tensor = 2}, .zero = 3},
        Layout{.mesh = {.tensor = 2}, .recompute = passes::Recompute::kFull},
        Layout{.mesh = {.tensor = 2, .context = 2},
        .context = passes::ContextParallel::kUlysses}}) {
    expect_equal(run_layout(job(), layout, Arithmetic::kDouble), wanted, kDoubleTolerance,
                 layout.str());
    expect_equal(run_layout(job(), layout, Arithmetic::kKernels), wanted_floats, kFloatTolerance,
                 layout.str() + " in f32");
  }
  const PipeLayout pipe{.layout = {.mesh = {.tensor = 2, .pipe = 2}}};
  LayoutJob two = job();
  two.microbatches = 2;
  expect_equal(run_pipe_layout(two, pipe, Arithmetic::kDouble).trained,
               run_layout(two, {}, Arithmetic::kDouble), kDoubleTolerance, "a pipeline");
}

// An all-reduce of one f32 a row, forward and backward, of queries and of keys.
TEST_F(NormsOverHeads, SendOneNumberARowForward) {
  constexpr int kRanks = 2;
  LayoutJob with = job(), without = job();
  without.model.qk_norm = models::QkNorm::kNone;
  const Layout layout{.mesh = {.tensor = kRanks}};
  const int64_t more = tensor_bytes(run_layout(with, layout, Arithmetic::kKernels)) -
                       tensor_bytes(run_layout(without, layout, Arithmetic::kKernels));
  const int64_t rows = with.batch * with.seq * with.model.layers * with.steps;
  EXPECT_EQ(more, rows * 2 * 2 * 2 * (kRanks - 1) * int64_t{sizeof(float)});
}

// Each family on two ranks of every axis it can be spread over.
class FamilyRanks : public ::testing::TestWithParam<std::string> {};

TEST_P(FamilyRanks, EqualOne) {
  LayoutJob job{.model = peculiar(GetParam())};
  job.steps = 1;
  job.batch = job.microbatches = 2;
  const LayoutResult wanted = run_layout(job, {}, Arithmetic::kDouble);
  std::vector<Layout> layouts = {{.mesh = {.tensor = 2}}};
  for (const int zero : {1, 2, 3}) layouts.push_back({.mesh = {.data = 2}, .zero = zero});
  if (job.model.mixture.experts > 0) layouts.push_back({.mesh = {.expert = 2}});
  for (const Layout& layout : layouts) {
    LayoutJob mine = job;
    if (layout.data_ranks() > 1) mine.microbatches = 1;
    expect_equal(run_layout(mine, layout, Arithmetic::kDouble), wanted, kDoubleTolerance,
                 GetParam() + " on " + layout.str());
  }
  const PipeLayout pipe{.layout = {.mesh = {.pipe = 2}}};
  expect_equal(run_pipe_layout(job, pipe, Arithmetic::kDouble).trained, wanted, kDoubleTolerance,
               GetParam() + " on " + pipe.str());
}

INSTANTIATE_TEST_SUITE_P(All, FamilyRanks, ::testing::ValuesIn(all_families()),
                         [](const auto& family) { return test_name(family.param); });

}  // namespace
}  // namespace ashlar::train::testing
