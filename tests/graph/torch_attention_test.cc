// Attention at real sizes, forward and backward, against PyTorch's float64 goldens: 5 query heads
// of 80 to a key-value head, 700 tokens; all keys, causal, windowed, packed documents, soft caps.
#include "ashlar/graph/ops/attention.h"
#include "tests/graph/torch_golden.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ashlar::graph {
namespace {

class TorchAttention : public TorchGoldenTest {};
ASHLAR_TEST_EACH_TIER(TorchAttention);

struct AttentionExample {
  std::string golden;
  int64_t heads, kv_heads;
  std::vector<int32_t> row_start;
  kernels::AttentionMask mask;

  Graph graph() const {
    AttentionSpec spec{heads, kv_heads, 80, mask};
    spec.mask.scale = static_cast<float>(1 / std::sqrt(80.0));
    return with_backward([&](Builder& b) {
      const ValueId rows = b.input("row_start", DType::kI32, {Dim(Symbol::kSeqs, 1, 1)});
      return attention(b, matrix(b, "q", heads * 80), matrix(b, "k", kv_heads * 80),
                       matrix(b, "v", kv_heads * 80), rows, spec, "attention");
    });
  }
  RunData data() const {
    RunData data{.bindings =
                     bind_tokens(kGoldenTokens, static_cast<int64_t>(row_start.size()) - 1)};
    data.ints["row_start"] = row_start;
    return data;
  }
};

const std::vector<AttentionExample>& attention_examples() {
  static const std::vector<AttentionExample> examples = {
      {"attention_full", 5, 1, {0, 700}, {.causal = false}},
      {"attention_causal", 5, 1, {0, 700}, {}},
      {"attention_window", 5, 1, {0, 700}, {.window = 100}},
      {"attention_documents", 5, 1, {0, 1, 64, 128, 193, 393, 700}, {.window = 150}},
      {"attention_softcap", 5, 1, {0, 700}, {.softcap = 20}},
      {"attention_4_heads", 4, 4, {0, 700}, {}},
  };
  return examples;
}

TEST_P(TorchAttention, EqualsPyTorch) {
  for (const AttentionExample& example : attention_examples()) {
    // Scores carry the rounding of a whole dot product and are exponentiated.
    check(example.graph(), example.data(), example.golden, 2 * kGoldenF32);
  }
}

TEST(TorchAttentionReference, EqualsPyTorch) {
  for (const AttentionExample& example : attention_examples()) {
    check_reference(example.graph(), example.data(), example.golden);
  }
}

}  // namespace
}  // namespace ashlar::graph
