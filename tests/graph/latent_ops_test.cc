// Latent attention in graphs: keys and values made from latents, forward and backward on every
// tier, and serving's form of it, with the matrix absorbed by queries and results, against
// training's.
#include "ashlar/graph/ops/latent_attention.h"
#include "ashlar/graph/ops/linear.h"
#include "tests/graph/counter_values.h"
#include "tests/graph/graph_run.h"
#include "tests/kernels/tier_fixture.h"

#include <gtest/gtest.h>

namespace ashlar::graph {
namespace {

class LatentOpTest : public kernels::TierTest {};
ASHLAR_TEST_EACH_TIER(LatentOpTest);

ValueId matrix(Builder& b, const std::string& name, DType dtype, int64_t width) {
  return b.input(name, dtype, {Symbol::kTokens, width});
}

// Heads whose keys share channels and whose values are narrower, through attention and back.
TEST_P(LatentOpTest, KeysAndValuesThroughAttention) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const auto& spec : {LatentSpec{.heads = 3, .own = 9, .shared = 4, .value = 7},
                             LatentSpec{.heads = 2, .own = 16, .shared = 8, .value = 16}}) {
      const Graph graph = with_backward([&](Builder& b) {
        const ValueId rows = b.input("row_start", DType::kI32, {Dim(Symbol::kSeqs, 1, 1)});
        const ValueId kv = matrix(b, "kv", dtype, spec.heads * (spec.own + spec.value));
        const auto [k, v] =
            latent_keys(b, kv, matrix(b, "shared", dtype, spec.shared), spec, "keys");
        AttentionSpec attention_spec{spec.heads, spec.heads, spec.key(), {.scale = 0.4f}};
        attention_spec.value_dim = spec.value;
        return attention(b, matrix(b, "q", dtype, spec.heads * spec.key()), k, v, rows,
                         attention_spec, "attention");
      });
      RunData data{.bindings = bind_tokens(50, 3)};
      data.ints["row_start"] = {0, 17, 18, 50};
      // As in ops_test.cc's attention, and one more rounding of the keys.
      expect_close(run_fast(graph, data, GetParam()), run_reference(graph, data), 6,
                   std::string(name(dtype)));
    }
  }
}

constexpr LatentSpec kSpec{.heads = 5, .own = 24, .shared = 16, .value = 20, .latent = 48};
constexpr int64_t kTableWidth = 3, kTokens = 47;
const kernels::AttentionMask kMask{.scale = 0.2f};

struct Inputs {
  ValueId q, latent, shared, weight, row_start;
};
Inputs add_inputs(Builder& b) {
  return {matrix(b, "q", DType::kF32, kSpec.heads * kSpec.key()),
          matrix(b, "latent", DType::kF32, kSpec.latent),
          matrix(b, "shared", DType::kF32, kSpec.shared),
          b.parameter("w", {kSpec.heads * (kSpec.own + kSpec.value), kSpec.latent}, {}, {}),
          b.input("row_start", DType::kI32, {Dim(Symbol::kSeqs, 1, 1)})};
}

Graph expanded_graph() {
  return forward_graph([](Builder& b) {
    const Inputs in = add_inputs(b);
    const auto [k, v] =
        latent_keys(b, linear(b, in.latent, in.weight, {}, "kv"), in.shared, kSpec, "keys");
    AttentionSpec spec{kSpec.heads, kSpec.heads, kSpec.key(), kMask};
    spec.value_dim = kSpec.value;
    return attention(b, in.q, k, v, in.row_start, spec, "attention");
  });
}

Graph absorbed_graph() {
  return forward_graph([](Builder& b) {
    const Inputs in = add_inputs(b);
    Variable pool;
    pool.name = "pool";
    pool.kind = VariableKind::kCache;
    pool.shape = {2 * kTableWidth, kernels::kCacheBlock, kSpec.latent + kSpec.shared};
    pool.trainable = false;
    const PagedBatch batch{in.row_start, b.input("context", DType::kI32, {Symbol::kSeqs}),
                           b.input("block_table", DType::kI32, {Symbol::kSeqs, kTableWidth}),
                           b.input("slots", DType::kI32, {Symbol::kTokens})};
    return paged_latent_attention(b, in.q, in.latent, in.shared, in.weight,
                                  b.graph().add_variable(pool), batch, kSpec, kMask, "attention");
  });
}

TEST_P(LatentOpTest, AbsorbedIsExpanded) {
  RunData data{.bindings = bind_tokens(kTokens, 2)};
  data.ints["row_start"] = {0, 33, kTokens};
  data.ints["context"] = {33, 14};
  data.ints["block_table"] = {4, 0, 3, 1, 5, 2};
  for (int32_t t = 0; t < kTokens; ++t) {
    const int32_t seq = t < 33 ? 0 : 1, position = t < 33 ? t : t - 33;
    const auto entry = static_cast<size_t>(seq * kTableWidth + position / 16);
    data.ints["slots"].push_back(data.ints["block_table"][entry] * 16 + position % 16);
  }
  data.floats["w"] =
      counter_values("w", kSpec.heads * (kSpec.own + kSpec.value) * kSpec.latent, 0.3f);
  const auto expanded = run_reference(expanded_graph(), data).outputs.at("y");
  const RunResult absorbed = run_reference(absorbed_graph(), data);
  expect_close(absorbed.outputs.at("y").values, expanded.values, 1e-12, "in double");
  for (const int threads : {1, 3}) {
    RunResult fast;
    fast.outputs = run_fast(absorbed_graph(), data, GetParam(), threads).outputs;
    RunResult wanted;
    wanted.outputs = absorbed.outputs;
    // A query that has passed through the matrix carries a whole product's rounding.
    expect_close(fast, wanted, 4, "absorbed");
  }
}

}  // namespace
}  // namespace ashlar::graph
