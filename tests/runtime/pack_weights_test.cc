// A graph that reads packed weights gives the bits of the one that packs inside each product.
#include "ashlar/runtime/pack_weights.h"

#include "ashlar/base/cpu.h"
#include "ashlar/base/error.h"
#include "ashlar/base/philox.h"
#include "ashlar/graph/builder.h"
#include "ashlar/graph/ops/grouped_linear.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/rows.h"
#include "ashlar/passes/differentiate.h"
#include "ashlar/passes/pack.h"
#include "ashlar/passes/plan_memory.h"
#include "ashlar/runtime/executor.h"
#include "tests/runtime/small_models.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cstring>
#include <span>

namespace ashlar::runtime {
namespace {

constexpr int64_t kVocab = 77, kWidth = 40, kInner = 300;

// Embedding, two linears and a head tied to the embedding.
graph::Graph tied_network(DType dtype) {
  graph::Graph graph;
  graph::Builder b(graph);
  const graph::Init init{graph::Init::Kind::kNormal, 0.1f, {}};
  const auto tokens = b.input("tokens", DType::kI32, {graph::Symbol::kTokens});
  const auto embedding = b.parameter("embed", {kVocab, kWidth}, {"vocab", "embed"}, init, dtype);
  const auto up = b.parameter("up", {kInner, kWidth}, {"ffn", "embed"}, init, dtype);
  const auto down = b.parameter("down", {kWidth, kInner}, {"embed", "ffn"}, init, dtype);
  const auto x = graph::gather_rows(b, embedding, tokens, {}, dtype, "x");
  const auto h = graph::linear(b, x, up, {.activation = kernels::Activation::kSilu}, "h");
  const auto y = graph::linear(b, h, down, {.residual = x}, "y");
  graph.mark_output("logits", graph::linear(b, y, embedding, {}, "logits", DType::kF32));
  return graph;
}

std::vector<float> logits(const graph::Graph& graph, VariableStore& store, IsaTier tier,
                          const std::vector<int32_t>& tokens) {
  ThreadPool pool(2);
  const kernels::KernelTable& table = kernels::kernel_table(tier);
  graph::Bindings bindings;
  bindings[graph::Symbol::kTokens] = static_cast<int64_t>(tokens.size());
  auto plan = passes::plan_memory(
      graph, {.max = bindings, .slots = 1, .table = &table, .threads = pool.threads()});
  Executor executor(graph, std::move(plan), store, table, pool);
  executor.bind_input("tokens", tokens.data());
  executor.run(0, bindings, {});
  const graph::Operand result = executor.output("logits", bindings);
  return {result.as<float>(), result.as<float>() + result.shape.elements()};
}

class PackWeightsTest : public ::testing::TestWithParam<IsaTier> {
 protected:
  void SetUp() override {
    if (!can_run(GetParam())) {
      GTEST_SKIP() << "tier " << name(GetParam()) << " cannot run on this machine";
    }
  }
};

TEST_P(PackWeightsTest, KeepsEveryBit) {
  const kernels::KernelTable& table = kernels::kernel_table(GetParam());
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    const graph::Graph plain = tied_network(dtype);
    const graph::Graph packed = passes::pack(plain, table);
    VariableStore store(3);
    store.add_missing(plain);
    std::vector<int32_t> tokens;
    for (int32_t i = 0; i < 21; ++i) tokens.push_back(i * 5 % static_cast<int32_t>(kVocab));
    const std::vector<float> many = logits(plain, store, GetParam(), tokens);
    const std::vector<float> one = logits(plain, store, GetParam(), {tokens[4]});

    ThreadPool pool(2);
    std::vector<std::string> finished;
    pack_weights(packed, store, table, pool,
                 [&](const std::string& weight, const Tensor&) { finished.push_back(weight); });
    EXPECT_EQ(finished, (std::vector<std::string>{"up", "down"}));  // the embedding is still read
    EXPECT_FALSE(store.contains("up"));
    store.add_missing(packed);
    EXPECT_FALSE(store.contains("up")) << "a weight without a reader needs no storage";
    VariableStore wrong = store;
    wrong.put("up.packed", Tensor(DType::kU8, {3}));
    EXPECT_THROW(wrong.add_missing(packed), Error);
    wrong.put("up.packed", Tensor(dtype, {kInner, kWidth}));  // of its source: to be packed later
    EXPECT_NO_THROW(wrong.add_missing(packed));
    const std::vector<float> many_packed = logits(packed, store, GetParam(), tokens);
    const std::vector<float> one_packed = logits(packed, store, GetParam(), {tokens[4]});
    if (sums_as_amx(GetParam()) && dtype == DType::kF32) {  // args.h: another order of sums
      for (size_t i = 0; i < many.size(); ++i) ASSERT_NEAR(many[i], many_packed[i], 1e-5f);
      EXPECT_TRUE(
          std::ranges::equal(one_packed, std::span(many_packed).subspan(4 * kVocab, kVocab)));
    } else {
      EXPECT_EQ(many, many_packed);
      EXPECT_EQ(one, one_packed);
    }
    EXPECT_EQ(std::memcmp(one.data(), many.data() + 4 * kVocab, one.size() * sizeof(float)), 0);
  }
}

// Experts' matrices are packed one by one; a row has the same bits among few and among many.
TEST_P(PackWeightsTest, KeepsEveryBitOfExperts) {
  constexpr int64_t kExperts = 3, kRows = 150;
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    graph::Graph plain;
    graph::Builder b(plain);
    const graph::Init init{graph::Init::Kind::kNormal, 0.1f, {}};
    const auto tokens = b.input("tokens", DType::kI32, {graph::Symbol::kTokens});
    const auto offsets = b.input("offsets", DType::kI32, {kExperts + 1});
    const auto embedding = b.parameter("embed", {kVocab, kWidth}, {}, init, dtype);
    const auto up = b.parameter("up", {kExperts, kInner, kWidth}, {}, init, dtype);
    const auto x = graph::gather_rows(b, embedding, tokens, {}, dtype, "x");
    plain.mark_output("y", graph::grouped_linear(b, x, up, offsets, "y"));
    const kernels::KernelTable& table = kernels::kernel_table(GetParam());
    const graph::Graph packed = passes::pack(plain, table);
    VariableStore store(3);
    store.add_missing(plain);
    ThreadPool pool(2);
    pack_weights(packed, store, table, pool);
    std::vector<int32_t> ids;
    for (int32_t i = 0; i < kRows; ++i) ids.push_back(i * 5 % static_cast<int32_t>(kVocab));
    const std::vector<int32_t> starts = {0, 2, 2, kRows};
    std::vector<std::vector<std::byte>> results;
    for (const graph::Graph* graph : {static_cast<const graph::Graph*>(&plain), &packed}) {
      graph::Bindings bindings;
      bindings[graph::Symbol::kTokens] = kRows;
      Executor executor(
          *graph, passes::plan_memory(*graph, {.max = bindings, .table = &table, .threads = 2}),
          store, table, pool);
      executor.bind_input("tokens", ids.data());
      executor.bind_input("offsets", starts.data());
      executor.run(0, bindings, {});
      const graph::Operand y = executor.output("y", bindings);
      results.emplace_back(y.data, y.data + y.shape.elements() * size_of(y.dtype));
    }
    if (sums_as_amx(GetParam()) && dtype == DType::kF32) {  // args.h: another order of sums
      const auto* plain_y = reinterpret_cast<const float*>(results[0].data());
      const auto* packed_y = reinterpret_cast<const float*>(results[1].data());
      for (size_t i = 0; i < results[0].size() / sizeof(float); ++i) {
        ASSERT_NEAR(plain_y[i], packed_y[i], 1e-5f);
      }
    } else {
      EXPECT_EQ(results[0], results[1]) << name(dtype);
    }
  }
}

TEST_P(PackWeightsTest, RefusesTraining) {
  graph::Graph training = testing::small_model({});
  passes::differentiate(training, training.output("loss"));
  EXPECT_THROW(passes::pack(training, kernels::kernel_table(GetParam())), Error);
}

INSTANTIATE_TEST_SUITE_P(Tiers, PackWeightsTest, ::testing::ValuesIn(all_isa_tiers()),
                         [](const auto& test) {
                           std::string text(name(test.param));
                           std::ranges::replace(text, '-', '_');
                           return text;
                         });

}  // namespace
}  // namespace ashlar::runtime
