// What each rank holds, by tag: a layout that says it shares something out holds its share of it.
#include "ashlar/base/error.h"
#include "ashlar/models/decoder_graphs.h"
#include "tests/train/layout.h"
#include "tests/train/small_decoders.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ashlar::train::testing {
namespace {

using graph::Variable;
using graph::VariableKind;

constexpr int64_t kFloat = 4;

std::vector<Variable> trained(const models::DecoderConfig& model) {
  const graph::Graph graph = models::build_training(model);
  std::vector<Variable> result;
  for (const Variable& variable : graph.variables()) {
    if (variable.kind == VariableKind::kParameter && variable.trainable) result.push_back(variable);
  }
  return result;
}

bool splits(const Variable& variable) {
  return std::ranges::any_of(variable.dims, [](const std::string& dim) {
    return dim == "heads" || dim == "kv_heads" || dim == "ffn" || dim == "vocab";
  });
}

// Bytes of a state with one f32 for each parameter: what tensor ranks split once over them, and
// where ZeRO shards it, the rows of each over `ranks`, of which no rank has more than one too many.
struct Share {
  int64_t least = 0, most = 0;
};
Share share_of(const models::DecoderConfig& model, int tensor, int ranks) {
  Share share;
  for (const Variable& variable : trained(model)) {
    const int64_t bytes = variable.bytes() / (splits(variable) ? tensor : 1);
    // Tensor ranks may have split the rows that ZeRO deals out, or the columns.
    int64_t rows = variable.shape[0];
    if (splits(variable) && variable.dims[0] != "embed") rows = (rows + tensor - 1) / tensor;
    const int64_t row = (bytes + rows - 1) / rows;
    share.least += rows / ranks * row;
    share.most += (rows + ranks - 1) / ranks * row;
  }
  return share;
}

class LayoutPeaksTest : public ::testing::TestWithParam<Layout> {};

TEST_P(LayoutPeaksTest, AreSharesOfTheWhole) {
  const Layout& layout = GetParam();
  const int shards = layout.mesh.data * layout.mesh.context;
  for (models::DecoderConfig model : small_models(layout.ranks_of_heads())) {
    // Sizes that divide, so that shares are exact.
    model.resize({.vocab = 48,
                  .width = 24,
                  .layers = 3,
                  .heads = 4,
                  .max_positions = 32,
                  .kv_heads = model.kv_heads,
                  .ffn = 32});
    LayoutJob job{.model = model};
    job.steps = 1;
    const LayoutResult result = run_layout(job, layout, Arithmetic::kKernels);
    const auto expect = [&](VariableKind kind, bool sharded, int64_t copies) {
      const Share share = share_of(model, layout.mesh.tensor, sharded ? shards : 1);
      for (const auto& rank : result.bytes) {
        const int64_t bytes = rank.at(kind);
        EXPECT_GE(bytes, copies * share.least) << name(kind) << " " << layout.str();
        EXPECT_LE(bytes, copies * share.most) << name(kind) << " " << layout.str();
      }
    };
    expect(VariableKind::kParameter, layout.zero >= 3, 1);
    expect(VariableKind::kGradient, layout.zero >= 2, 1);
    expect(VariableKind::kOptimizer, layout.zero >= 1, 2);
  }
}

INSTANTIATE_TEST_SUITE_P(Layouts, LayoutPeaksTest,
                         ::testing::Values(Layout{.mesh = {.data = 4}},
                                           Layout{.mesh = {.data = 4}, .zero = 1},
                                           Layout{.mesh = {.data = 4}, .zero = 2},
                                           Layout{.mesh = {.data = 4}, .zero = 3},
                                           Layout{.mesh = {.data = 2, .context = 2}, .zero = 3},
                                           Layout{.mesh = {.tensor = 2}},
                                           Layout{.mesh = {.tensor = 2}, .sequence = true},
                                           Layout{.mesh = {.tensor = 4}},
                                           Layout{.mesh = {.data = 2, .tensor = 2}, .zero = 3}));

LayoutResult run_one(const LayoutJob& job, const Layout& layout) {
  return run_layout(job, layout, Arithmetic::kKernels);
}

// Between its splits a tensor rank has a share of the rows under sequence parallel.
TEST(LayoutPeaks, ActivationsShrinkWithRanks) {
  LayoutJob job{.model = small_llama(), .batch = 32};
  job.steps = 1;
  const int64_t one = run_one(job, {}).arena_bytes[0];
  const int64_t tensor = run_one(job, {.mesh = {.tensor = 2}}).arena_bytes[0];
  const int64_t sequence = run_one(job, {.mesh = {.tensor = 2}, .sequence = true}).arena_bytes[0];
  const int64_t data = run_one(job, {.mesh = {.data = 2}}).arena_bytes[0];
  const int64_t context = run_one(job, {.mesh = {.context = 2}}).arena_bytes[0];
  EXPECT_LT(tensor, one);
  EXPECT_LT(sequence, tensor);
  EXPECT_LT(data, 0.6 * static_cast<double>(one));
  EXPECT_LT(context, 0.8 * static_cast<double>(one));
}

// The sum of what a layer's parameters are, its head's and its embedding's.
int64_t largest_unit(const models::DecoderConfig& model) {
  std::map<std::string, int64_t> units;
  for (const Variable& variable : trained(model)) {
    const size_t at = variable.name.find("layers.");
    const std::string unit =
        at == std::string::npos
            ? (variable.name.find("embed") == std::string::npos ? "head" : "embed")
            : variable.name.substr(at, variable.name.find('.', at + 7) - at);
    units[unit] += variable.bytes();
  }
  int64_t largest = 0;
  for (const auto& [name, bytes] : units) largest = std::max(largest, bytes);
  return largest;
}

// ZeRO-3: the own shards and two units, of which one computes and one arrives.
TEST(LayoutPeaks, TwoUnitsOfParametersAreGathered) {
  LayoutJob job{.model = small_llama()};
  job.steps = 1;
  const LayoutResult result = run_one(job, {.mesh = {.data = 4}, .zero = 3});
  const int64_t unit = largest_unit(job.model);
  for (const graph::StandIns& rank : result.stand_ins) {
    EXPECT_LE(rank.parameters, 2 * unit + 64 * 20);  // places in the arena are aligned
    EXPECT_GT(rank.parameters, unit);                // the next one is under way
  }
}

// ZeRO-2: the own shards and one bucket, half of which is filled while half leaves.
TEST(LayoutPeaks, OneBucketOfTermsIsOnItsWay) {
  LayoutJob job{.model = small_llama()};
  job.steps = 1;
  const Layout layout{.mesh = {.data = 4}, .zero = 2, .bucket_bytes = 12000};
  for (const graph::StandIns& rank : run_one(job, layout).stand_ins) {
    EXPECT_LE(rank.gradients, layout.bucket_bytes);
    EXPECT_GT(rank.gradients, layout.bucket_bytes / 2);
  }
}

// Mixed precision (Rajbhandari et al. 2020): of a matrix 2 bytes an element whole, as forward and
// backward read it, and 12 of master and moments; 2 of its gradient, or 4 in f32. Vectors have no
// shadow: 4 + 4 + 8. ZeRO-1 to 3 share out the last, the gradient, the first. In all 2P + 14P/p
// bytes for ZeRO-2 and 16P/p for ZeRO-3 where gradients are bf16.
TEST(LayoutPeaks, MixedPrecisionIsThatOfZeRO) {
  LayoutJob job{.model = small_llama()};
  job.steps = 1;
  int64_t matrices = 0, vectors = 0, padding = 0;
  for (const Variable& variable : trained(job.model)) {
    (variable.shape.rank() > 1 ? matrices : vectors) += variable.shape.elements();
    // At most one row too many of master, moments, gradient and shadow.
    padding += 18 * variable.shape.elements() / variable.shape[0];
  }
  for (const DType grad_dtype : {DType::kF32, DType::kBF16}) {
    for (const int zero : {0, 1, 2, 3}) {
      const Layout layout{
          .mesh = {.data = 4}, .zero = zero, .dtype = DType::kBF16, .grad_dtype = grad_dtype};
      const LayoutResult result = run_one(job, layout);
      const int64_t gradients = size_of(grad_dtype) * matrices + kFloat * vectors;
      const int64_t read = 2 * matrices + kFloat * vectors, updated = 12 * matrices + 8 * vectors;
      const auto share = [&](int64_t bytes, int from) { return zero >= from ? bytes / 4 : bytes; };
      const int64_t wanted = share(updated, 1) + share(gradients, 2) + share(read, 3);
      for (const auto& rank : result.bytes) {
        const int64_t state = rank.at(VariableKind::kParameter) + rank.at(VariableKind::kShadow) +
                              rank.at(VariableKind::kOptimizer) + rank.at(VariableKind::kGradient);
        EXPECT_LE(state, wanted + padding) << layout.str();
        EXPECT_GE(state, wanted - (zero == 0 ? 0 : padding)) << layout.str();
      }
    }
  }
}

// ZeRO-2: terms leave in the gradients' dtype; one more in f32 is where they are made.
TEST(LayoutPeaks, OneBucketOfRoundedTermsIsOnItsWay) {
  LayoutJob job{.model = small_llama()};
  job.steps = 1;
  const Layout layout{.mesh = {.data = 4},
                      .zero = 2,
                      .dtype = DType::kBF16,
                      .grad_dtype = DType::kBF16,
                      .bucket_bytes = 12000};
  for (const graph::StandIns& rank : run_one(job, layout).stand_ins) {
    EXPECT_LE(rank.gradients, layout.bucket_bytes);
    EXPECT_GT(rank.gradients, layout.bucket_bytes / 2);
  }
}

// DP5: the state of training, 16 bytes a parameter, is four times what a device holds. Eight ranks
// hold an eighth each and two gathered layers, and train; one cannot begin.
TEST(LayoutPeaks, AModelOfFourDevicesTrainsOnEight) {
  LayoutJob job{.model = small_llama(), .seq = 6};
  job.model.resize({.vocab = 37,
                    .width = 96,
                    .layers = 12,
                    .heads = 4,
                    .max_positions = 32,
                    .kv_heads = 2,
                    .ffn = 192});
  job.steps = 3;
  int64_t parameters = 0;
  for (const Variable& variable : trained(job.model)) parameters += variable.shape.elements();
  job.device_bytes = 16 * parameters / 4;
  const passes::Recompute full = passes::Recompute::kFull;
  EXPECT_THROW(run_one(job, {.recompute = full}), Error);
  EXPECT_THROW(run_one(job, {.mesh = {.data = 8}, .zero = 2, .recompute = full}), Error);
  Layout layout{.mesh = {.data = 8}, .zero = 3, .recompute = full};
  layout.bucket_bytes = parameters / 4;
  const LayoutResult found = run_one(job, layout);
  job.device_bytes = sim::TaggedArena::kNoCap;
  expect_equal(found, run_one(job, {}), kFloatTolerance, layout.str());
}

}  // namespace
}  // namespace ashlar::train::testing
