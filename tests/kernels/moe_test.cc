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

namespace ashlar::kernels {
namespace {

class MoeTest : public TierTest {};
ASHLAR_TEST_EACH_TIER(MoeTest);

struct Routed {
  Array weights;
  std::vector<int32_t> chosen;
};

Routed route(const KernelTable& table, const Team& team, const Array& logits, int64_t experts,
             int64_t top_k, bool renormalise = true) {
  const int64_t rows = logits.size() / experts;
  Routed out{Array(DType::kF32, rows * top_k), std::vector<int32_t>(rows * top_k, -1)};
  table.moe_route({.rows = rows,
                   .experts = experts,
                   .top_k = top_k,
                   .renormalise = renormalise,
                   .logits = logits.floats(),
                   .weights = out.weights.floats(),
                   .chosen = out.chosen.data()},
                  team);
  return out;
}

TEST_P(MoeTest, RouteMatchesReference) {
  for (const auto& [rows, experts, top_k] :
       {std::tuple<int64_t, int64_t, int64_t>{700, 8, 2}, {700, 60, 4}, {33, 128, 8}}) {
    for (const bool renormalise : {true, false}) {
      const Array logits(DType::kF32, random_values("logits", rows * experts, 2));
      const std::vector<double> values = logits.values();
      std::vector<double> weights(static_cast<size_t>(rows * top_k));
      std::vector<int32_t> chosen(weights.size());
      ref::moe_route(
          {rows, experts, top_k, renormalise, values.data(), weights.data(), chosen.data()});
      const Routed first =
          route(table(), teams()[0].with_scratch(), logits, experts, top_k, renormalise);
      EXPECT_EQ(first.chosen, chosen);
      expect_close(first.weights, weights, "weights");
      for (TestTeam& team : teams()) {
        const Routed again =
            route(table(), team.with_scratch(), logits, experts, top_k, renormalise);
        EXPECT_TRUE(again.weights == first.weights) << team.threads() << " threads";
      }
    }
  }
}

TEST_P(MoeTest, EqualLogitsGoToTheLowerExpert) {
  const Array logits(DType::kF32, std::vector<double>{1, 3, 3, 2, 3, 0, 0, 0, 0, 0});
  const Routed out = route(table(), teams()[0].with_scratch(), logits, 5, 3);
  EXPECT_THAT(out.chosen, testing::ElementsAre(1, 2, 4, 0, 1, 2));
  for (const double weight : out.weights.values()) EXPECT_NEAR(weight, 1.0 / 3, 1e-7);
}

// A diverged model must not write outside its arrays; the NaN goes on to the loss.
TEST_P(MoeTest, NaNsStayInRangeAndShow) {
  const double nan = std::numeric_limits<double>::quiet_NaN();
  const double inf = std::numeric_limits<double>::infinity();
  for (const std::vector<double>& row :
       {std::vector<double>{nan, nan, nan}, {1, nan, 2}, {inf, inf, 1}}) {
    const Routed out = route(table(), teams()[0].with_scratch(), Array(DType::kF32, row), 3, 2);
    for (const int32_t expert : out.chosen)
      EXPECT_THAT(expert, testing::AllOf(testing::Ge(0), testing::Lt(3)));
    EXPECT_TRUE(std::isnan(out.weights.values()[0]));
  }
  const Routed out = route(table(), teams()[0].with_scratch(),
                           Array(DType::kF32, std::vector<double>{-inf, 1, -inf}), 3, 2);
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

}  // namespace
}  // namespace ashlar::kernels
