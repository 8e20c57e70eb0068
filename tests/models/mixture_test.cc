// A mixture of experts against the loop that defines it: token by token, choice by choice, in
// double, forward and backward; at even routing and when all tokens go to the same experts.
#include "ashlar/models/mixture.h"

#include "tests/graph/counter_values.h"
#include "tests/graph/graph_run.h"
#include "tests/kernels/tier_fixture.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <cmath>

namespace ashlar::models {
namespace {

using graph::Builder;
using graph::RunData;
using graph::ValueId;

constexpr int64_t kTokens = 37, kWidth = 24, kFfn = 40, kExperts = 5;

DecoderConfig config_of(int64_t per_token, bool renormalise) {
  DecoderConfig config;
  config.width = kWidth;
  config.ffn = kFfn;
  config.layers = 1;
  config.mixture = {.experts = kExperts, .per_token = per_token, .renormalise = renormalise};
  return config;
}

graph::Graph graph_of(const DecoderConfig& config) {
  return graph::with_backward([&](Builder& b) {
    const ValueId x = b.input("x", DType::kF32, {graph::Symbol::kTokens, kWidth});
    const DecoderOptions options;
    return mixture_of_experts({b, config, options}, x, {}, {}).y;
  });
}

// One matrix, rows of outputs, with the sum of its gradient.
struct Matrix {
  size_t rows;
  std::vector<double> w, grad;

  Matrix(int64_t outputs, std::span<const float> values)
      : rows(static_cast<size_t>(outputs)), w(values.begin(), values.end()), grad(w.size()) {}
  std::vector<double> times(std::span<const double> x) const {
    std::vector<double> y(rows);
    for (size_t i = 0; i < w.size(); ++i) y[i / x.size()] += w[i] * x[i % x.size()];
    return y;
  }
  // Adds to the gradient, returns that of x.
  std::vector<double> back(std::span<const double> x, std::span<const double> d_y) {
    std::vector<double> d_x(x.size());
    for (size_t i = 0; i < w.size(); ++i) {
      grad[i] += d_y[i / x.size()] * x[i % x.size()];
      d_x[i % x.size()] += d_y[i / x.size()] * w[i];
    }
    return d_x;
  }
};

double dot(std::span<const double> a, std::span<const double> b) {
  double sum = 0;
  for (size_t i = 0; i < a.size(); ++i) sum += a[i] * b[i];
  return sum;
}

void add_to(std::span<double> sum, std::span<const double> term) {
  for (size_t i = 0; i < sum.size(); ++i) sum[i] += term[i];
}

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

class Loop {
 public:
  Loop(const DecoderConfig& config, const RunData& data) : config_(config) {
    const auto values = [&](const std::string& name, int64_t count) {
      const auto found = data.floats.find(name);
      return found != data.floats.end() ? found->second : graph::counter_values(name, count);
    };
    const auto x = values("x", kTokens * kWidth), d_y = values("d_y", kTokens * kWidth);
    x_.assign(x.begin(), x.end());
    d_y_.assign(d_y.begin(), d_y.end());
    const auto router = values("router.weight", kExperts * kWidth);
    router_.emplace_back(kExperts, router);
    const auto split = [&](const std::string& name, int64_t rows, int64_t cols,
                           std::vector<Matrix>& matrices) {
      const auto all = values("experts." + name + ".weight", kExperts * rows * cols);
      for (int64_t e = 0; e < kExperts; ++e) {
        matrices.emplace_back(rows, std::span(all).subspan(static_cast<size_t>(e * rows * cols),
                                                           static_cast<size_t>(rows * cols)));
      }
    };
    split("gate", kFfn, kWidth, gate_);
    split("up", kFfn, kWidth, up_);
    split("down", kWidth, kFfn, down_);
    y_.resize(x_.size());
    d_x_.resize(x_.size());
    for (int64_t t = 0; t < kTokens; ++t) token(t);
  }

  // Name and values of all that the graph gives.
  void expect_equal(const graph::RunResult& found, double tolerance) const {
    const auto compare = [&](const std::string& name, const auto& values,
                             std::span<const double> wanted) {
      graph::expect_close(values.at(name).values, {wanted.begin(), wanted.end()}, tolerance, name);
    };
    compare("y", found.outputs, y_);
    compare("d_x", found.outputs, d_x_);
    for (const auto& [name, matrices] : {std::pair{"router", &router_},
                                         {"experts.gate", &gate_},
                                         {"experts.up", &up_},
                                         {"experts.down", &down_}}) {
      std::vector<double> all;
      for (const Matrix& matrix : *matrices) {
        all.insert(all.end(), matrix.grad.begin(), matrix.grad.end());
      }
      compare(std::string(name) + ".weight.grad", found.variables, all);
    }
  }

 private:
  std::span<double> row(std::vector<double>& values, int64_t t) const {
    return std::span(values).subspan(static_cast<size_t>(t * kWidth), kWidth);
  }

  void token(int64_t t) {
    const std::span<const double> x = row(x_, t), d_y = row(d_y_, t);
    const std::vector<double> logits = router_[0].times(x);
    std::vector<size_t> order = {0, 1, 2, 3, 4};
    std::ranges::stable_sort(order, std::greater{}, [&](size_t e) { return logits[e]; });
    order.resize(static_cast<size_t>(config_.mixture.per_token));
    std::vector<double> p(logits.size());
    double all = 0, chosen = 0;
    for (size_t e = 0; e < p.size(); ++e) all += p[e] = std::exp(logits[e]);
    for (double& value : p) value /= all;
    for (const size_t e : order) chosen += p[e];

    std::vector<double> d_p(p.size());
    double weighted = 0;
    for (const size_t e : order) {
      const double weight = config_.mixture.renormalise ? p[e] / chosen : p[e];
      const double d_weight = expert(t, e, weight);
      d_p[e] = config_.mixture.renormalise ? d_weight / chosen : d_weight;
      weighted += p[e] * d_weight;
    }
    if (config_.mixture.renormalise) {
      for (const size_t e : order) d_p[e] -= weighted / (chosen * chosen);
    }
    std::vector<double> d_logits(p.size());
    const double mean = dot(p, d_p);
    for (size_t e = 0; e < p.size(); ++e) d_logits[e] = p[e] * (d_p[e] - mean);
    add_to(row(d_x_, t), router_[0].back(x, d_logits));
  }

  // Adds the weighted output of an expert to y, returns the gradient of the weight.
  double expert(int64_t t, size_t e, double weight) {
    const std::span<const double> x = row(x_, t), d_y = row(d_y_, t);
    const std::vector<double> gate = gate_[e].times(x), up = up_[e].times(x);
    std::vector<double> inner(gate.size()), d_gate(gate.size()), d_up(gate.size());
    for (size_t i = 0; i < gate.size(); ++i) inner[i] = gate[i] * sigmoid(gate[i]) * up[i];
    const std::vector<double> out = down_[e].times(inner);
    std::vector<double> d_out(d_y.begin(), d_y.end());
    for (double& value : d_out) value *= weight;
    const std::vector<double> d_inner = down_[e].back(inner, d_out);
    for (size_t i = 0; i < gate.size(); ++i) {
      const double s = sigmoid(gate[i]);
      d_up[i] = d_inner[i] * gate[i] * s;
      d_gate[i] = d_inner[i] * up[i] * s * (1 + gate[i] * (1 - s));
    }
    add_to(row(d_x_, t), gate_[e].back(x, d_gate));
    add_to(row(d_x_, t), up_[e].back(x, d_up));
    for (size_t i = 0; i < out.size(); ++i) row(y_, t)[i] += weight * out[i];
    return dot(out, d_y);
  }

  DecoderConfig config_;
  std::vector<double> x_, d_y_, y_, d_x_;
  std::vector<Matrix> router_, gate_, up_, down_;
};

class MixtureTest : public kernels::TierTest {};
ASHLAR_TEST_EACH_TIER(MixtureTest);

// EP10: nothing is dropped at any skew, and all gradients are those of the loop.
TEST_P(MixtureTest, EqualsTheLoopOverTokens) {
  for (const auto& [per_token, renormalise] :
       {std::pair<int64_t, bool>{2, true}, {1, false}, {5, true}}) {
    for (const bool skewed : {false, true}) {
      const DecoderConfig config = config_of(per_token, renormalise);
      RunData data{.bindings = graph::bind_tokens(kTokens)};
      if (skewed) {  // positive channels, so the later an expert, the higher its logit
        data.floats["x"] = graph::counter_values("x", kTokens * kWidth, 0.5f, 0.6f);
        for (int64_t i = 0; i < kExperts * kWidth; ++i) {
          data.floats["router.weight"].push_back(0.1f * static_cast<float>(i / kWidth));
        }
      }
      const Loop loop(config, data);
      const graph::Graph graph = graph_of(config);
      const graph::RunResult reference = run_reference(graph, data);
      loop.expect_equal(reference, 1e-12);
      // A chain of three products, each with the tolerance of one.
      loop.expect_equal(run_fast(graph, data, GetParam()), 1e-5);
    }
  }
}

}  // namespace
}  // namespace ashlar::models
