// The update's ops against their formulas, written out here in double.
#include "ashlar/graph/ops/optimizer.h"

#include "tests/graph/counter_values.h"
#include "tests/graph/graph_run.h"
#include "tests/kernels/tier_fixture.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ashlar::graph {
namespace {

class Optimizer : public kernels::TierTest {};
ASHLAR_TEST_EACH_TIER(Optimizer);

ValueId state(Builder& b, const std::string& name, int64_t size) {
  Variable variable;
  variable.name = name;
  variable.kind = VariableKind::kOptimizer;
  variable.shape = {size};
  return b.graph().current(b.graph().add_variable(variable));
}

ValueId shadow_of(Builder& b, ValueId param, int64_t size) {
  Variable variable;
  variable.name = "shadow";
  variable.kind = VariableKind::kShadow;
  variable.dtype = DType::kBF16;
  variable.shape = {size};
  variable.source = b.graph().value(param).variable;
  return b.graph().current(b.graph().add_variable(variable));
}

double sum_of_squares(const std::string& name, int64_t n) {
  double total = 0;
  for (const float x : counter_values(name, n)) {
    total += static_cast<double>(x) * static_cast<double>(x);
  }
  return total;
}

// Gradients of odd sizes, then the rule of torch.nn.utils.clip_grad_norm_: scale by
// max_norm / (norm + 1e-6) where that is below one.
TEST_P(Optimizer, GlobalNormAndClipping) {
  const int64_t sizes[] = {1, 7, 33, 4099};
  double total = 0;
  for (const int64_t n : sizes) total += sum_of_squares("g" + std::to_string(n), n);
  const double norm = std::sqrt(total);
  for (const double max_norm : {norm * 0.5, norm * 2, 0.0, -1.0}) {
    Graph graph;
    Builder b(graph, Phase::kUpdate);
    std::vector<ValueId> gradients;
    for (const int64_t n : sizes) gradients.push_back(state(b, "g" + std::to_string(n), n));
    const ValueId squares = b.apply1(std::make_shared<SumSquaresOp>(), gradients, "squares");
    const auto clip =
        b.apply(std::make_shared<ClipScaleOp>(max_norm), {squares, ValueId{}}, "clip");
    graph.mark_output("squares", squares);
    graph.mark_output("norm", clip[0]);
    graph.mark_output("scale", clip[1]);
    const double scale = max_norm > 0 ? std::min(1.0, max_norm / (norm + 1e-6)) : 1.0;
    for (const bool fast : {true, false}) {
      const auto found =
          (fast ? run_fast(graph, {}, GetParam()) : run_reference(graph, {})).outputs;
      EXPECT_NEAR(found.at("squares").values[0], total, 1e-12 * total);
      EXPECT_NEAR(found.at("norm").values[0], norm, 1e-7 * norm);
      EXPECT_NEAR(found.at("scale").values[0], scale, 1e-7);
    }
  }
}

// Loshchilov and Hutter 2019 with both terms scaled by the learning rate, as PyTorch has it.
TEST_P(Optimizer, AdamWFollowsItsFormula) {
  const AdamWSpec spec{.beta1 = 0.8, .beta2 = 0.95, .eps = 1e-6, .weight_decay = 0.2};
  for (const int64_t n : {1, 7, 8, 9, 17, 33, 1000}) {
    for (const bool shadow : {false, true}) {
      Graph graph;
      Builder b(graph, Phase::kUpdate);
      const ValueId param = state(b, "p", n);
      const ValueId rounded = shadow ? shadow_of(b, param, n) : ValueId{};
      b.apply(std::make_shared<AdamWOp>(spec, shadow),
              {param, state(b, "g", n), state(b, "m", n), state(b, "v", n),
               b.input("lr", DType::kF32, {1}), b.input("scale", DType::kF32, {1}), rounded},
              "update");
      RunData data;
      data.state.step = 3;
      data.floats["lr"] = {0.0625f};
      data.floats["scale"] = {0.5f};
      data.floats["v"] = counter_values("v", n, 0.25f, 0.5f);  // a mean of squares: not negative
      const std::vector<float> p = counter_values("p", n), g = counter_values("g", n),
                               m = counter_values("m", n), v = data.floats["v"];

      std::vector<double> new_p, new_m, new_v;
      for (size_t i = 0; i < p.size(); ++i) {
        const double grad = 0.5 * static_cast<double>(g[i]);
        new_m.push_back(spec.beta1 * static_cast<double>(m[i]) + (1 - spec.beta1) * grad);
        new_v.push_back(spec.beta2 * static_cast<double>(v[i]) + (1 - spec.beta2) * grad * grad);
        const double m_hat = new_m[i] / (1 - std::pow(spec.beta1, 3));
        const double v_hat = new_v[i] / (1 - std::pow(spec.beta2, 3));
        const double decayed = static_cast<double>(p[i]) * (1 - 0.0625 * spec.weight_decay);
        new_p.push_back(decayed - 0.0625 * m_hat / (std::sqrt(v_hat) + spec.eps));
      }
      const RunResult fast = run_fast(graph, data, GetParam());
      const RunResult reference = run_reference(graph, data);
      for (const auto& [name, wanted] :
           {std::pair{"p", new_p}, std::pair{"m", new_m}, std::pair{"v", new_v}}) {
        expect_close(fast.variables.at(name).values, wanted, 1e-6, name);
        expect_close(reference.variables.at(name).values, wanted, 1e-13, name);
      }
      EXPECT_EQ(reference.variables.at("g").values, std::vector<double>(g.begin(), g.end()));
      if (!shadow) continue;
      const std::vector<double>& exact = fast.variables.at("p").values;
      for (size_t i = 0; i < exact.size(); ++i) {  // the new parameter, rounded
        const double wanted = static_cast<double>(to_float(to_bf16(static_cast<float>(exact[i]))));
        EXPECT_EQ(fast.variables.at("shadow").values[i], wanted);
      }
    }
  }
}

}  // namespace
}  // namespace ashlar::graph
