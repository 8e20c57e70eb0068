// Dropout of attention's probabilities in a graph: what is dropped is a function of seed, step,
// path and the token's place in the global batch; gradients draw the mask that forward drew.
#include "ashlar/graph/ops/attention.h"
#include "tests/graph/counter_values.h"
#include "tests/graph/graph_run.h"
#include "tests/kernels/tier_fixture.h"

#include <gtest/gtest.h>

namespace ashlar::graph {
namespace {

constexpr int64_t kHeads = 2, kDim = 9, kWidth = kHeads * kDim;
const std::vector<int32_t> kLengths = {17, 1, 33};
constexpr int64_t kTokens = 51;
constexpr RunState kState = {.seed = 3, .step = 1};

class AttentionDropoutGraph : public kernels::TierTest {
 protected:
  // Outputs and gradients for sequences [first, last) of one global batch.
  std::map<std::string, std::vector<double>> run(size_t first, size_t last, RunState state = kState,
                                                 const std::string& path = "attend",
                                                 double rate = 0.3) {
    AttentionSpec spec{.heads = kHeads, .kv_heads = kHeads, .head_dim = kDim, .mask = {}};
    spec.mask.scale = 0.5f;
    spec.dropout = rate;
    const Graph graph = with_backward([&](Builder& b) {
      const auto matrix = [&](const char* name) {
        return b.input(name, DType::kF32, {Symbol::kTokens, kWidth});
      };
      const ValueId rows = b.input("row_start", DType::kI32, {Dim(Symbol::kSeqs, 1, 1)});
      return attention(b, matrix("q"), matrix("k"), matrix("v"), rows, spec, path);
    });
    std::vector<int32_t> row_start = {0};
    int64_t before = 0;
    for (size_t s = 0; s < last; ++s) {
      if (s < first) before += kLengths[s];
      if (s >= first) row_start.push_back(row_start.back() + kLengths[s]);
    }
    const int64_t tokens = row_start.back();
    RunData data{.bindings = bind_tokens(tokens, static_cast<int64_t>(last - first))};
    data.ints["row_start"] = row_start;
    for (const char* name : {"q", "k", "v", "d_y"}) {
      const std::vector<float> all = counter_values(name, kTokens * kWidth);
      const auto begin = all.begin() + before * kWidth;
      data.floats[name] = std::vector<float>(begin, begin + tokens * kWidth);
    }
    data.state = state;
    data.state.first_token = static_cast<uint64_t>(before);
    std::map<std::string, std::vector<double>> values;
    for (auto& [name, output] : run_fast(graph, data, GetParam()).outputs) {
      values[name] = output.values;
    }
    return values;
  }
};
ASHLAR_TEST_EACH_TIER(AttentionDropoutGraph);

TEST_P(AttentionDropoutGraph, MicrobatchesHaveTheBitsOfTheBatch) {
  const auto whole = run(0, kLengths.size());
  ASSERT_EQ(whole.size(), 5u);  // out, lse, d_q, d_k, d_v
  for (const size_t cut : {1, 2}) {
    auto parts = run(0, cut);
    for (const auto& [name, rest] : run(cut, kLengths.size())) {
      parts[name].insert(parts[name].end(), rest.begin(), rest.end());
    }
    EXPECT_EQ(parts, whole) << "cut at " << cut;
  }
}

TEST_P(AttentionDropoutGraph, SeedStepAndPathGiveOtherMasks) {
  const auto y = run(0, 3).at("y");
  EXPECT_EQ(run(0, 3).at("y"), y);
  EXPECT_NE(run(0, 3, {.seed = 4, .step = 1}).at("y"), y);
  EXPECT_NE(run(0, 3, {.seed = 3, .step = 2}).at("y"), y);
  EXPECT_NE(run(0, 3, kState, "other").at("y"), y);
  EXPECT_NE(run(0, 3, kState, "attend", 0).at("y"), y);
}

}  // namespace
}  // namespace ashlar::graph
