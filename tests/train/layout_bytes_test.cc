// Every layout sends what the formula of its method says: not a byte more or less.
#include "tests/train/layout_bytes.h"

#include "ashlar/models/decoder_graphs.h"
#include "tests/train/layout.h"
#include "tests/train/small_decoders.h"

#include <gtest/gtest.h>

namespace ashlar::train::testing {
namespace {

std::map<std::string, int64_t> sent(const LayoutResult& result) {
  std::map<std::string, int64_t> bytes;
  for (const comm::Counters& rank : result.traffic) {
    for (const auto& [key, traffic] : rank.entries()) {
      if (key.first != "loss" && traffic.bytes > 0) bytes[key.first] += traffic.bytes;
    }
  }
  return bytes;
}

class LayoutBytesTest : public ::testing::TestWithParam<Layout> {};

TEST_P(LayoutBytesTest, AreThoseOfTheFormula) {
  for (const models::DecoderConfig& model : small_models(GetParam().ranks_of_heads())) {
    for (const int64_t microbatches : {1, 2}) {
      LayoutJob job{.model = model};
      job.steps = 2;
      job.microbatches = microbatches;
      EXPECT_EQ(sent(run_layout(job, GetParam(), Arithmetic::kKernels)),
                expected_bytes(job, GetParam()))
          << model.family << " on " << GetParam().str() << ", " << microbatches << " microbatches";
    }
  }
}

// DP5: what scatters and gathers send is one and a half times DP1's, but for what only forward
// reads and so is not gathered again: tables, biases, and the head, whose gradients are made with
// the loss.
TEST(LayoutBytes, ShardedParametersTakeHalfAsManyAgain) {
  for (const models::DecoderConfig& model : {small_llama(), small_gpt2()}) {
    LayoutJob job{.model = model};
    job.steps = 1;
    int64_t forward_only = 0;
    const graph::Graph graph = models::build_training(model);
    for (const graph::Variable& variable : graph.variables()) {
      if (variable.kind != graph::VariableKind::kParameter || !variable.trainable) continue;
      const bool table = variable.name == "embed.weight" || variable.name == "positions.weight";
      if (table || variable.name == "head.weight" || variable.name.ends_with(".bias")) {
        forward_only += variable.bytes();
      }
    }
    ASSERT_GT(forward_only, 0);
    for (const int ranks : {2, 4}) {
      const auto bytes = [&](int zero) {
        return sent(
            run_layout(job, {.mesh = {.data = ranks}, .zero = zero}, Arithmetic::kKernels))["data"];
      };
      const int64_t norm = 2 * (ranks - 1) * static_cast<int64_t>(sizeof(double));
      EXPECT_EQ(2 * (bytes(3) - norm), 3 * bytes(0) - 2 * (ranks - 1) * forward_only)
          << model.family << " on " << ranks;
    }
  }
}

// What backward gathers to compute a layer again, its gradients read too.
TEST(LayoutBytes, RecomputedLayersAreGatheredOnce) {
  LayoutJob job{.model = small_llama()};  // without biases, which only forward reads
  job.steps = 2;
  for (const MeshSizes mesh : {MeshSizes{.data = 4}, MeshSizes{.data = 2, .context = 2}}) {
    const Layout layout{.mesh = mesh, .zero = 3, .recompute = passes::Recompute::kFull};
    const LayoutResult found = run_layout(job, layout, Arithmetic::kKernels);
    std::map<std::string, int64_t> bytes = sent(found), wanted = expected_bytes(job, layout);
    EXPECT_EQ(bytes["data"], wanted["data"]);
    expect_equal(found, run_layout(job, {}, Arithmetic::kKernels), kFloatTolerance, layout.str());
  }
}

// A gradient kept in bf16 takes half the bytes on its way; a master's shadow does so too.
TEST(LayoutBytes, GradientsInBF16TakeHalf) {
  LayoutJob job{.model = small_llama()};
  job.steps = 1;
  int64_t matrices = 0, vectors = 0;
  const graph::Graph graph = models::build_training(job.model);
  for (const graph::Variable& variable : graph.variables()) {
    if (variable.kind != graph::VariableKind::kParameter || !variable.trainable) continue;
    (variable.shape.rank() > 1 ? matrices : vectors) += variable.shape.elements();
  }
  for (const int zero : {0, 1, 2}) {
    const Layout layout{
        .mesh = {.data = 4}, .zero = zero, .dtype = DType::kBF16, .grad_dtype = DType::kBF16};
    const int64_t norm = zero == 0 ? 0 : 2 * 3 * static_cast<int64_t>(sizeof(double));
    EXPECT_EQ(sent(run_layout(job, layout, Arithmetic::kKernels))["data"],
              2 * 3 * (2 * matrices + 4 * vectors) + norm)
        << "zero " << zero;
  }
}

INSTANTIATE_TEST_SUITE_P(
    Layouts, LayoutBytesTest,
    ::testing::Values(
        Layout{.mesh = {.data = 2}}, Layout{.mesh = {.data = 4}},
        Layout{.mesh = {.data = 4}, .zero = 1}, Layout{.mesh = {.data = 4}, .zero = 2},
        Layout{.mesh = {.data = 4}, .zero = 3}, Layout{.mesh = {.context = 2}},
        Layout{.mesh = {.context = 3}},
        Layout{.mesh = {.context = 2}, .context = passes::ContextParallel::kZigzag},
        Layout{.mesh = {.context = 2}, .context = passes::ContextParallel::kUlysses},
        Layout{.mesh = {.context = 4}, .context = passes::ContextParallel::kUlysses},
        Layout{.mesh = {.tensor = 4}}, Layout{.mesh = {.tensor = 4}, .sequence = true},
        Layout{.mesh = {.data = 2, .context = 2}, .zero = 1}, Layout{.mesh = {.tensor = 2}},
        Layout{.mesh = {.tensor = 2}, .sequence = true}, Layout{.mesh = {.data = 2, .tensor = 2}},
        Layout{.mesh = {.data = 2, .tensor = 2}, .sequence = true},
        Layout{.mesh = {.data = 2, .tensor = 2}, .zero = 3},
        Layout{.mesh = {.data = 2, .tensor = 2}, .zero = 1, .sequence = true},
        Layout{.mesh = {.data = 2, .tensor = 2}, .zero = 3, .sequence = true},
        Layout{.mesh = {.data = 2, .tensor = 2, .context = 2}, .zero = 3, .sequence = true}));

// Ranks add in their order, element by element: buckets change neither bits nor bytes.
TEST(GradientBuckets, ChangeNoBit) {
  LayoutJob job{.model = small_gpt2()};
  job.steps = 3;
  job.microbatches = 2;
  std::vector<Layout> layouts;
  for (const int zero : {0, 1, 2, 3}) layouts.push_back({.mesh = {.data = 4}, .zero = zero});
  // Tensor ranks have unlike shares of the vocabulary, and sum the norms' gradients together.
  layouts.push_back({.mesh = {.data = 2, .tensor = 2}, .sequence = true});
  for (Layout& layout : layouts) {
    layout.bucket_bytes = 1;
    const LayoutResult alone = run_layout(job, layout, Arithmetic::kKernels);
    for (const int64_t bytes : {int64_t{1500}, int64_t{5000}, passes::kBucketBytes}) {
      layout.bucket_bytes = bytes;
      const LayoutResult found = run_layout(job, layout, Arithmetic::kKernels);
      EXPECT_EQ(found.losses, alone.losses) << layout.str() << " " << bytes;
      EXPECT_EQ(found.parameters, alone.parameters) << layout.str() << " " << bytes;
      EXPECT_EQ(sent(found), sent(alone)) << layout.str() << " " << bytes;
    }
  }
}

}  // namespace
}  // namespace ashlar::train::testing
