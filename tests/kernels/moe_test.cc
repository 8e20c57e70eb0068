// The kernels of a mixture of experts at real sizes: every tier against the reference, the same
// bits on any number of threads, ties, NaNs, gradients by central differences.
#include "ashlar/kernels/ref/moe.h"

#include "tests/kernels/array.h"
#include "tests/kernels/central_differences.h"
#include "tests/kernels/tier_fixture.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <limits>
#include <utility>

namespace ashlar::kernels {
namespace {

class MoeTest : public TierTest {};
ASHLAR_TEST_EACH_TIER(MoeTest);

struct Routed {
  Array weights;
  std::vector<int32_t> chosen;
};

Routed route(const KernelTable& table, TestTeam& team, const Array& logits, int64_t experts,
             const RouteRule& rule, const Array* bias = nullptr) {
  const int64_t rows = logits.size() / experts;
  Routed out{Array(DType::kF32, rows * rule.top_k),
             std::vector<int32_t>(static_cast<size_t>(rows * rule.top_k), -1)};
  table.moe_route({.rows = rows,
                   .experts = experts,
                   .rule = rule,
                   .logits = logits.floats(),
                   .bias = bias != nullptr ? bias->floats() : nullptr,
                   .weights = out.weights.floats(),
                   .chosen = out.chosen.data()},
                  team.with_scratch(team.threads() * moe_route_thread_bytes(rule, experts)));
  return out;
}

struct RouteCase {
  int64_t rows, experts;
  RouteRule rule;
};
// Mixtral, Qwen2-MoE, Qwen3-MoE and the two of DeepSeek at sizes like theirs.
std::vector<RouteCase> route_cases() {
  const RouteRule grouped{
      .top_k = 6, .renormalise = false, .scale = 16, .groups = 8, .top_groups = 3};
  const RouteRule sigmoids{.top_k = 8,
                           .score = RouteScore::kSigmoid,
                           .scale = 2.5f,
                           .groups = 8,
                           .top_groups = 4,
                           .group_best = 2};
  RouteRule plain_sigmoids{.top_k = 3, .renormalise = false, .score = RouteScore::kSigmoid};
  return {{700, 8, {2, true}}, {700, 60, {4, false}}, {33, 128, {8, true}},
          {300, 160, grouped}, {300, 256, sigmoids},  {33, 17, plain_sigmoids}};
}

TEST_P(MoeTest, RouteMatchesReference) {
  for (const auto& [rows, experts, rule] : route_cases()) {
    SCOPED_TRACE(std::to_string(experts) + " experts");
    const bool biased = rule.score == RouteScore::kSigmoid;
    const Array logits(DType::kF32, random_values("logits", rows * experts, 2));
    const Array bias(DType::kF32, random_values("bias", experts, 0.3));
    const Array d_weights(DType::kF32, random_values("d_weights", rows * rule.top_k));
    const std::vector<double> values = logits.values(), biases = bias.values(),
                              d_weights64 = d_weights.values();
    std::vector<double> weights(d_weights64.size()), d_logits(values.size());
    std::vector<int32_t> chosen(weights.size());
    const ref::MoeRouteArgs args{
        rows,           experts,      rule, values.data(), biased ? biases.data() : nullptr,
        weights.data(), chosen.data()};
    ref::moe_route(args);
    ref::moe_route_grad({args, d_weights64.data(), d_logits.data()});
    const Array* added = biased ? &bias : nullptr;
    const Routed first = route(table(), teams()[0], logits, experts, rule, added);
    EXPECT_EQ(first.chosen, chosen);
    expect_close(first.weights, weights, "weights");
    Array first_grad(DType::kF32, 0);
    for (TestTeam& team : teams()) {
      const Routed again = route(table(), team, logits, experts, rule, added);
      EXPECT_TRUE(again.weights == first.weights) << team.threads() << " threads";
      EXPECT_EQ(again.chosen, first.chosen);
      Array grad(DType::kF32, rows * experts);
      MoeRouteGradArgs grad_args;
      grad_args.d_weights = d_weights.floats();
      grad_args.d_logits = grad.floats();
      grad_args.forward = {.rows = rows, .experts = experts, .rule = rule};
      grad_args.forward.logits = logits.floats();
      Routed forward = first;  // not written
      grad_args.forward.weights = forward.weights.floats();
      grad_args.forward.chosen = forward.chosen.data();
      table().moe_route_grad(grad_args, team.with_scratch());
      if (team.threads() == 1) {
        expect_close(grad, d_logits, "d_logits", 2);  // d_w - mean cancels
        first_grad = grad;
      }
      EXPECT_TRUE(grad == first_grad) << team.threads() << " threads";
    }
  }
}

// Groups {0, 1}, {2, 3}, {4, 5}: by their best expert the first and last win, by the sum of their
// two best the middle one, which a bias takes away again.
TEST_P(MoeTest, GroupsAndBiasChangeTheChoiceAlone) {
  const Array logits(DType::kF32, std::vector<double>{2, -4, 1.5, 1, 1.8, -4});
  RouteRule rule{.top_k = 2, .renormalise = false, .groups = 3, .top_groups = 2};
  EXPECT_THAT(route(table(), teams()[0], logits, 6, rule).chosen, testing::ElementsAre(0, 4));
  rule.score = RouteScore::kSigmoid;
  rule.top_groups = 1;
  rule.group_best = 2;
  EXPECT_THAT(route(table(), teams()[0], logits, 6, rule).chosen, testing::ElementsAre(2, 3));
  const Array bias(DType::kF32, std::vector<double>{0, 0, -1, 0, 0, 0});
  const Routed biased = route(table(), teams()[0], logits, 6, rule, &bias);
  EXPECT_THAT(biased.chosen, testing::ElementsAre(0, 1));
  EXPECT_NEAR(biased.weights.values()[0], 1 / (1 + std::exp(-2.0)), 1e-7);
}

TEST_P(MoeTest, EqualLogitsGoToTheLowerExpert) {
  const Array logits(DType::kF32, std::vector<double>{1, 3, 3, 2, 3, 0, 0, 0, 0, 0});
  const Routed out = route(table(), teams()[0], logits, 5, {3, true});
  EXPECT_THAT(out.chosen, testing::ElementsAre(1, 2, 4, 0, 1, 2));
  for (const double weight : out.weights.values()) EXPECT_NEAR(weight, 1.0 / 3, 1e-7);
}

// A diverged model must not write outside its arrays; the NaN goes on to the loss.
TEST_P(MoeTest, NaNsStayInRangeAndShow) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  for (const std::vector<double>& row :
       {std::vector<double>{nan, nan, nan}, {1, nan, 2}, {inf, inf, 1}}) {
    const Routed out = route(table(), teams()[0], Array(DType::kF32, row), 3, {2, true});
    for (const int32_t expert : out.chosen)
      EXPECT_THAT(expert, testing::AllOf(testing::Ge(0), testing::Lt(3)));
    EXPECT_TRUE(std::isnan(out.weights.values()[0]));
    RouteRule groups{.top_k = 2, .score = RouteScore::kSigmoid, .groups = 3, .top_groups = 2};
    const Routed sigmoids = route(table(), teams()[0], Array(DType::kF32, row), 3, groups);
    for (const int32_t expert : sigmoids.chosen)
      EXPECT_THAT(expert, testing::AllOf(testing::Ge(0), testing::Lt(3)));
  }
  const Routed out = route(table(), teams()[0],
                           Array(DType::kF32, std::vector<double>{-inf, 1, -inf}), 3, {2, true});
  EXPECT_THAT(out.weights.values(), testing::ElementsAre(1, 0));
}

struct RowsCase {
  int64_t tokens, width, top_k, experts;
};
constexpr RowsCase kRowsCases[] = {{1, 1, 1, 2}, {7, 17, 2, 3}, {33, 9, 3, 4}, {700, 320, 2, 8}};

// Maps with some pairs dropped.
struct Maps {
  std::vector<int32_t> slots, sources, offsets;
  explicit Maps(const RowsCase& c)
      : slots(static_cast<size_t>(c.tokens * c.top_k)),
        sources(slots),
        offsets(static_cast<size_t>(c.experts + 1)) {
    MoeAssignSpec spec{.tokens = c.tokens, .experts = c.experts, .top_k = c.top_k};
    spec.capacity = moe_capacity(c.tokens, c.experts, c.top_k, 1);
    const auto chosen = random_ids("chosen", c.tokens * c.top_k, c.experts);
    moe_assign(spec, chosen.data(), nullptr, {slots.data(), sources.data(), offsets.data()});
  }
};

TEST_P(MoeTest, RowsMatchReference) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const RowsCase& c : kRowsCases) {
      const Maps maps(c);
      const int64_t pairs = c.tokens * c.top_k;
      const Array x(dtype, random_values("x", c.tokens * c.width));
      const Array rows(dtype, random_values("rows", pairs * c.width));
      const Array residual(dtype, random_values("residual", c.tokens * c.width));
      const Array weights(DType::kF32, random_values("weights", pairs));
      const auto x64 = x.values(), rows64 = rows.values(), residual64 = residual.values(),
                 weights64 = weights.values();
      std::vector<double> dispatched(rows64.size()), combined(x64.size()),
          d_weights(weights64.size());
      ref::MoeRowsArgs args{.tokens = c.tokens, .rows = pairs, .width = c.width, .top_k = c.top_k};
      args.slots = maps.slots.data();
      args.sources = maps.sources.data();
      args.weights = weights64.data();
      args.x = x64.data();
      args.y = dispatched.data();
      ref::moe_dispatch(args);
      args.x = rows64.data();
      args.residual = residual64.data();
      args.y = combined.data();
      ref::moe_combine(args);
      args.d_y = x64.data();
      args.y = d_weights.data();
      ref::moe_weight_grad(args);

      Array first_dispatched(dtype, 0), first_combined(dtype, 0), first_grad(dtype, 0);
      for (TestTeam& team : teams()) {
        Array to(dtype, pairs * c.width), back(dtype, c.tokens * c.width);
        Array grad(DType::kF32, pairs);
        table().moe_dispatch({pairs, c.width, c.top_k, dtype, x.data(), maps.sources.data(),
                              weights.floats(), to.data()},
                             team.with_scratch());
        table().moe_combine({c.tokens, c.width, c.top_k, dtype, rows.data(), maps.slots.data(),
                             weights.floats(), residual.data(), back.data()},
                            team.with_scratch());
        table().moe_weight_grad({c.tokens, c.width, c.top_k, dtype, rows.data(), maps.slots.data(),
                                 x.data(), grad.floats()},
                                team.with_scratch());
        if (team.threads() == 1) {
          expect_close(to, dispatched, "dispatch");
          expect_close(back, combined, "combine");
          expect_close(grad, d_weights, "weight_grad");
          first_dispatched = to;
          first_combined = back;
          first_grad = grad;
        }
        EXPECT_TRUE(to == first_dispatched && back == first_combined && grad == first_grad)
            << team.threads() << " threads";
      }
    }
  }
}

TEST_P(MoeTest, LoadAndItsGradientMatchReference) {
  constexpr int64_t kRows = 700, kExperts = 60, kTopK = 4;
  const Array logits(DType::kF32, random_values("logits", kRows * kExperts, 2));
  const auto chosen = random_ids("chosen", kRows * kTopK, kExperts);
  const auto so_far = random_values("so_far", 2 * kExperts), logits64 = logits.values();
  std::vector<double> wanted(so_far.size()), found(so_far.size());
  ref::moe_load(
      {kRows, kExperts, kTopK, logits64.data(), chosen.data(), so_far.data(), wanted.data()});
  std::vector<double> d_logits(logits64.size());
  ref::moe_load_grad({kRows, kExperts, logits64.data(), so_far.data(), d_logits.data()});
  Array first(DType::kF32, 0);
  for (TestTeam& team : teams()) {
    table().moe_load(
        {kRows, kExperts, kTopK, logits.floats(), chosen.data(), so_far.data(), found.data()},
        team.with_scratch());
    for (size_t i = 0; i < wanted.size(); ++i) {
      EXPECT_NEAR(found[i], wanted[i], 4e-6 * (1 + std::abs(wanted[i])));
    }
    Array gradient(DType::kF32, kRows * kExperts);
    table().moe_load_grad({kRows, kExperts, logits.floats(), so_far.data(), gradient.floats()},
                          team.with_scratch());
    if (team.threads() == 1) {
      expect_close(gradient, d_logits, "d_logits", 2);  // p (g - mean) cancels
      first = gradient;
    }
    EXPECT_TRUE(gradient == first) << team.threads() << " threads";
  }
}

TEST_P(MoeTest, RowGateMatchesReference) {
  for (const DType dtype : {DType::kF32, DType::kBF16}) {
    for (const auto& [rows, width] : {std::pair<int64_t, int64_t>{1, 1}, {7, 17}, {700, 320}}) {
      const Array x(dtype, random_values("x", rows * width));
      const Array residual(dtype, random_values("residual", rows * width));
      const Array d_y(dtype, random_values("d_y", rows * width));
      const Array gate(DType::kF32, random_values("gate", rows, 3));
      const auto x64 = x.values(), residual64 = residual.values(), d_y64 = d_y.values(),
                 gate64 = gate.values();
      std::vector<double> y64(x64.size()), alone64(x64.size()), d_x64(x64.size()),
          d_gate64(gate64.size());
      ref::row_gate({rows, width, x64.data(), gate64.data(), residual64.data(), y64.data()});
      ref::row_gate({rows, width, x64.data(), gate64.data(), nullptr, alone64.data()});
      ref::row_gate_grad(
          {rows, width, x64.data(), gate64.data(), d_y64.data(), d_x64.data(), d_gate64.data()});
      for (TestTeam& team : teams()) {
        Array y(dtype, rows * width), alone = y, d_x = y, d_gate(DType::kF32, rows);
        table().row_gate({rows, width, dtype, x.data(), gate.floats(), residual.data(), y.data()},
                         team.with_scratch());
        table().row_gate({rows, width, dtype, x.data(), gate.floats(), nullptr, alone.data()},
                         team.with_scratch());
        table().row_gate_grad(
            {rows, width, dtype, x.data(), gate.floats(), d_y.data(), d_x.data(), d_gate.floats()},
            team.with_scratch());
        expect_close(y, y64, "y");
        expect_close(alone, alone64, "y without residual");
        expect_close(d_x, d_x64, "d_x");
        expect_close(d_gate, d_gate64, "d_gate");
      }
    }
  }
}

}  // namespace
}  // namespace ashlar::kernels
