// The low-rank term of linear (LoRA) with bias and residual beside it: y = x W^T + (x A^T) B^T +
// bias + residual, its value and all its gradients in double.
#include "ashlar/graph/ops/linear.h"
#include "ashlar/runtime/reference_run.h"
#include "tests/graph/counter_values.h"
#include "tests/graph/graph_run.h"
#include "tests/kernels/central_differences.h"

#include <gtest/gtest.h>

#include <algorithm>

namespace ashlar::graph {
namespace {

constexpr int64_t kRows = 5, kIn = 7, kOut = 6, kRank = 2;

Init normal() { return {Init::Kind::kNormal, 0.5f, {}}; }

ValueId low_rank_linear(Builder& b) {
  const ValueId x = b.input("x", DType::kF32, {Symbol::kTokens, kIn});
  LinearOptions options;
  options.bias = b.parameter("bias", {kOut}, {}, normal());
  options.residual = b.input("residual", DType::kF32, {Symbol::kTokens, kOut});
  options.low_rank_down = linear(b, x, b.parameter("a", {kRank, kIn}, {}, normal()), {}, "down");
  options.low_rank_up = b.parameter("b", {kOut, kRank}, {}, normal());
  return linear(b, x, b.parameter("w", {kOut, kIn}, {}, normal()), options, "linear");
}

std::vector<double> wide_values(const std::string& name, int64_t n) {
  const std::vector<float> values = counter_values(name, n);
  return {values.begin(), values.end()};
}

class LowRank : public ::testing::Test {
 protected:
  LowRank() {
    store_.add_missing(backward_);
    for (runtime::ReferenceRun* run :
         {&forward_run_.emplace(forward_, bind_tokens(kRows), store_),
          &backward_run_.emplace(backward_, bind_tokens(kRows), store_)}) {
      run->set_input("x", wide_values("x", kRows * kIn));
      run->set_input("residual", wide_values("residual", kRows * kOut));
    }
    backward_run_->set_input("d_y", d_y_);
    backward_run_->run({});
  }

  double loss() {
    forward_run_->run({});
    return kernels::dot(forward_run_->output("y"), d_y_);
  }

  const Graph forward_ = forward_graph(low_rank_linear), backward_ = with_backward(low_rank_linear);
  const std::vector<double> d_y_ = wide_values("d_y", kRows* kOut);
  runtime::VariableStore store_{5};
  std::optional<runtime::ReferenceRun> forward_run_, backward_run_;
};

TEST_F(LowRank, EqualsTheMergedWeight) {
  const std::vector<double>&w = backward_run_->variable("w"), &a = backward_run_->variable("a"),
        &up = backward_run_->variable("b"), &bias = backward_run_->variable("bias");
  const std::vector<double> x = wide_values("x", kRows * kIn);
  std::vector<double> wanted = wide_values("residual", kRows * kOut);
  for (int64_t t = 0; t < kRows; ++t) {
    for (int64_t n = 0; n < kOut; ++n) {
      double& y = wanted[static_cast<size_t>(t * kOut + n)];
      y += bias[static_cast<size_t>(n)];
      for (int64_t k = 0; k < kIn; ++k) {
        double merged = w[static_cast<size_t>(n * kIn + k)];
        for (int64_t r = 0; r < kRank; ++r) {
          merged += up[static_cast<size_t>(n * kRank + r)] * a[static_cast<size_t>(r * kIn + k)];
        }
        y += x[static_cast<size_t>(t * kIn + k)] * merged;
      }
    }
  }
  expect_close(backward_run_->output("y"), wanted, 1e-13, "y");
}

TEST_F(LowRank, GradientsOfParametersEqualCentralDifferences) {
  for (const std::string name : {"w", "a", "b", "bias"}) {
    const std::vector<double> at = forward_run_->variable(name);
    const auto loss_at = [&](const std::vector<double>& values) {
      forward_run_->variable(name) = values;
      return loss();
    };
    kernels::expect_gradient(backward_run_->variable(name + ".grad"), loss_at, at, name);
    forward_run_->variable(name) = at;
  }
}

TEST_F(LowRank, GradientsOfInputsEqualCentralDifferences) {
  const std::vector<double> at = wide_values("x", kRows * kIn);
  const auto loss_at = [&](const std::vector<double>& values) {
    forward_run_->set_input("x", values);
    return loss();
  };
  kernels::expect_gradient(backward_run_->output("d_x"), loss_at, at, "x");
  // The residual's gradient is d_y itself, so no op computes it.
  EXPECT_FALSE(backward_.outputs().contains("d_residual"));
}

}  // namespace
}  // namespace ashlar::graph
