// What the tests against PyTorch's goldens share: ops at real sizes (700 tokens, width 320, head
// dim 80), the fast run in f32 on every tier, the reference in double.
#pragma once

#include "tests/graph/counter_values.h"
#include "tests/graph/golden.h"
#include "tests/graph/graph_run.h"
#include "tests/kernels/tier_fixture.h"
#include "tests/kernels/tolerance.h"

#include <string>

namespace ashlar::graph {

constexpr int64_t kGoldenTokens = 700, kGoldenWidth = 320, kGoldenFfn = 1408;
constexpr double kGoldenF32 = kernels::tolerance(DType::kF32);

class TorchGoldenTest : public kernels::TierTest {
 protected:
  void check(const Graph& graph, const RunData& data, const std::string& golden,
             double tolerance = kGoldenF32) {
    expect_golden(run_fast(graph, data, GetParam()), read_golden(golden), tolerance, golden);
  }
};

// The references against the same goldens, to the rounding of double.
inline void check_reference(const Graph& graph, const RunData& data, const std::string& golden) {
  expect_golden(run_reference(graph, data), read_golden(golden), 1e-11, golden);
}

inline ValueId matrix(Builder& b, const std::string& name, int64_t width) {
  return b.input(name, DType::kF32, {Symbol::kTokens, width});
}
inline ValueId weight(Builder& b, const std::string& name, Shape shape) {
  return b.parameter(name, shape, {}, {});
}

}  // namespace ashlar::graph
