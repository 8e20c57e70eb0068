#include "ashlar/kernels/ref/optimizer.h"

#include "ashlar/base/philox.h"
#include "tests/kernels/array.h"
#include "tests/kernels/tier_fixture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

namespace ashlar::kernels {
namespace {

constexpr int64_t kCounts[] = {0, 1, 7, 8, 9, 17, 33, 4095, 4096, 4097, 100'003};

struct State {
  Array param, m, v, param_bf16;
  bool operator==(const State&) const = default;
};

State initial_state(int64_t count) {
  std::vector<double> v = random_values("v", count, 0.1);
  for (double& x : v) x = x * x;
  return {Array(DType::kF32, random_values("param", count)),
          Array(DType::kF32, random_values("m", count, 0.1)), Array(DType::kF32, v),
          Array(DType::kBF16, count)};
}

AdamWArgs adamw_args() {
  AdamWArgs args;
  args.grad_scale = 0.5f;
  args.lr = 0.01f;
  args.weight_decay = 0.1f;
  args.bias_correction1 = 0.271f;
  args.bias_correction2 = 0.142625f;
  return args;
}

// On a state's own arrays, whatever its parameter is stored in.
AdamWArgs adamw_args(State& state, const Array& grad) {
  AdamWArgs args = adamw_args();
  args.elements = grad.size();
  args.param_dtype = state.param.dtype();
  args.param = state.param.data();
  args.m = state.m.floats();
  args.v = state.v.floats();
  args.grad = grad.data();
  return args;
}

State run_adamw(const KernelTable& table, const Team& team, State state, const Array& grad,
                bool with_bf16 = true) {
  AdamWArgs args = adamw_args(state, grad);
  args.shadow = with_bf16 ? state.param_bf16.data() : nullptr;
  table.adamw(args, team);
  return state;
}

double run_sum_squares(const KernelTable& table, TestTeam& team, const Array& x) {
  double sum = std::numeric_limits<double>::quiet_NaN();
  table.sum_squares({x.size(), x.floats(), &sum},
                    team.with_scratch(table.sum_squares_scratch(x.size())));
  return sum;
}

class OptimizerTest : public TierTest {};

TEST_P(OptimizerTest, AdamWMatchesReference) {
  for (const int64_t count : kCounts) {
    const std::string what = fmt::format("{} elements", count);
    const State before = initial_state(count);
    const Array grad(DType::kF32, random_values("grad", count));
    std::vector<double> param = before.param.values(), m = before.m.values(), v = before.v.values();
    const std::vector<double> grads = grad.values();
    const AdamWArgs args = adamw_args();
    ref::adamw({count, param.data(), m.data(), v.data(), grads.data(), args.grad_scale, args.lr,
                args.beta1, args.beta2, args.eps, args.weight_decay, args.bias_correction1,
                args.bias_correction2});
    const State found = run_adamw(table(), teams()[0].with_scratch(), before, grad);
    expect_close(found.param, param, what + " param");
    expect_close(found.m, m, what + " m");
    expect_close(found.v, v, what + " v");
    EXPECT_TRUE(found.param_bf16 == Array(DType::kBF16, found.param.values())) << what;
    for (TestTeam& team : teams()) {
      EXPECT_TRUE(found == run_adamw(table(), team.with_scratch(), before, grad)) << what;
    }
    const State plain = run_adamw(table(), teams()[1].with_scratch(), before, grad, false);
    EXPECT_TRUE(plain.param == found.param && plain.param_bf16 == before.param_bf16) << what;
  }
}

// A shadow in f16 is the parameter rounded.
TEST_P(OptimizerTest, AdamWWritesAShadowInF16) {
  State state = initial_state(100);
  Array shadow(DType::kF16, 100);
  const Array grad(DType::kF32, random_values("grad", 100));
  AdamWArgs args = adamw_args(state, grad);
  args.shadow_dtype = DType::kF16;
  args.shadow = shadow.data();
  table().adamw(args, teams()[1].with_scratch());
  EXPECT_TRUE(shadow == Array(DType::kF16, state.param.values()));
}

// A parameter without a master: what f32 arithmetic gives for its value, rounded.
TEST_P(OptimizerTest, Bf16ParametersAreUpdatedInF32AndRounded) {
  for (const int64_t count : kCounts) {
    State state = initial_state(count);
    state.param = Array(DType::kF32, rounded(DType::kBF16, state.param.values()));
    State half = state;
    half.param = Array(DType::kBF16, state.param.values());
    const Array grad(DType::kF32, random_values("grad", count));
    table().adamw(adamw_args(state, grad), teams()[0].with_scratch());
    for (TestTeam& team : teams()) {
      State found = half;
      table().adamw(adamw_args(found, grad), team.with_scratch());
      EXPECT_TRUE(found.param == Array(DType::kBF16, state.param.values())) << count;
      EXPECT_TRUE(found.m == state.m && found.v == state.v) << count;
    }
  }
}

// Gradients in bf16 are what they are in f32.
TEST_P(OptimizerTest, ReadsGradientsInBf16) {
  for (const int64_t count : kCounts) {
    const Array half(DType::kBF16, random_values("grad", count));
    const Array wide(DType::kF32, half.values());
    double sum = -1;
    TestTeam& team = teams()[1];
    table().sum_squares({count, half.data(), &sum, DType::kBF16},
                        team.with_scratch(table().sum_squares_scratch(count)));
    EXPECT_EQ(sum, run_sum_squares(table(), team, wide)) << count;
    for (const DType param : {DType::kF32, DType::kBF16}) {
      State wanted = initial_state(count);
      wanted.param = Array(param, wanted.param.values());
      State found = wanted;
      table().adamw(adamw_args(wanted, wide), team.with_scratch());
      AdamWArgs args = adamw_args(found, half);
      args.grad_dtype = DType::kBF16;
      table().adamw(args, team.with_scratch());
      EXPECT_TRUE(found == wanted) << count << " " << name(param);
    }
  }
}

// Stochastic rounding, element by element against the words it is said to draw.
TEST_P(OptimizerTest, StochasticRoundingDrawsThePhiloxStream) {
  constexpr int64_t kCount = 40'003;  // three tasks and a tail
  constexpr uint64_t kStep = 7;
  const RandomStream random(3, "w.rounding", kStep);
  State state = initial_state(kCount);
  state.param = Array(DType::kF32, rounded(DType::kBF16, state.param.values()));
  state.param.floats()[5] = std::numeric_limits<float>::infinity();
  State half = state;
  half.param = Array(DType::kBF16, state.param.values());
  const Array grad(DType::kF32, random_values("grad", kCount));
  table().adamw(adamw_args(state, grad), teams()[0].with_scratch());
  for (TestTeam& team : teams()) {
    State found = half;
    AdamWArgs args = adamw_args(found, grad);
    args.stochastic = true;
    args.key = stream_key(3, "w.rounding");
    args.step = kStep;
    table().adamw(args, team.with_scratch());
    const bf16* params = static_cast<const bf16*>(found.param.data());
    for (int64_t i = 0; i < kCount; ++i) {
      const auto bits = std::bit_cast<uint32_t>(state.param.floats()[i]);
      const uint32_t draw = random.bits(static_cast<uint64_t>(i)) & 0xffffu;
      const uint32_t wanted = std::isfinite(state.param.floats()[i])
                                  ? (bits + draw) >> 16
                                  : uint32_t{to_bf16(state.param.floats()[i]).bits};
      ASSERT_EQ(params[i].bits, wanted) << i;
    }
  }
}

// Columns of some rows of a matrix are rounded as they are in the whole.
TEST_P(OptimizerTest, PartsAreRoundedAsInTheWhole) {
  constexpr int64_t kRows = 97, kColumns = 205;
  State whole = initial_state(kRows * kColumns);
  whole.param = Array(DType::kBF16, whole.param.values());
  const std::vector<double> grad = random_values("grad", kRows * kColumns);
  const auto update = [&](State& state, const Array& gradient, int64_t first, int64_t run,
                          TestTeam& team) {
    AdamWArgs args = adamw_args(state, gradient);
    args.stochastic = true;
    args.key = 5;
    args.step = 3;
    args.first_element = first;
    args.run = run;
    args.stride = kColumns;
    table().adamw(args, team.with_scratch());
  };
  for (const auto& [row, rows, column, columns] : {std::array<int64_t, 4>{0, 97, 0, 100},
                                                   {0, 97, 100, 105},
                                                   {31, 64, 7, 9},
                                                   {40, 1, 3, 201},
                                                   {96, 1, 204, 1},
                                                   {50, 47, 0, 205}}) {
    const auto cut = [&](const Array& of) {
      const std::vector<double> values = of.values();
      std::vector<double> part;
      for (int64_t r = row; r < row + rows; ++r) {
        const auto begin = values.begin() + r * kColumns + column;
        part.insert(part.end(), begin, begin + columns);
      }
      return Array(of.dtype(), part);
    };
    State after = whole;
    const Array gradient(DType::kF32, grad);
    update(after, gradient, 0, 0, teams()[0]);
    for (TestTeam& team : teams()) {
      State part{cut(whole.param), cut(whole.m), cut(whole.v), Array(DType::kBF16, 0)};
      update(part, cut(gradient), row * kColumns + column, columns, team);
      EXPECT_TRUE(part.param == cut(after.param)) << row << " " << column;
      EXPECT_TRUE(part.m == cut(after.m)) << row << " " << column;
    }
  }
}

// Where lr u / w is below 2^-9 a step is less than half of bf16's spacing at w: rounded to nearest,
// parameters stand still for ever; a master moves, and so does, on average, stochastic rounding.
TEST_P(OptimizerTest, WithoutMastersSmallStepsStallUnlessRoundingIsStochastic) {
  constexpr int64_t kCount = 4096;
  constexpr int kSteps = 200;
  constexpr float kLr = 0x1p-12f;  // u is 1: the mean of gradients over their root mean square
  const auto train = [&](DType dtype, bool stochastic) {
    State state{Array(dtype, std::vector<double>(kCount, 1.5)), Array(DType::kF32, kCount),
                Array(DType::kF32, kCount), Array(DType::kBF16, 0)};
    for (const auto& moment : {&state.m, &state.v})
      *moment = Array(DType::kF32, std::vector<double>(kCount, 0.0));
    const Array grad(DType::kF32, std::vector<double>(kCount, 1.0));
    for (int step = 1; step <= kSteps; ++step) {
      AdamWArgs args = adamw_args(state, grad);
      args.grad_scale = 1;
      args.lr = kLr;
      args.weight_decay = 0;
      args.bias_correction1 = 1 - std::pow(args.beta1, static_cast<float>(step));
      args.bias_correction2 = 1 - std::pow(args.beta2, static_cast<float>(step));
      args.stochastic = stochastic;
      args.key = 11;
      args.step = static_cast<uint64_t>(step);
      table().adamw(args, teams()[1].with_scratch());
    }
    return state.param.values();
  };
  const double moved = kSteps * static_cast<double>(kLr);
  for (const double param : train(DType::kF32, false)) EXPECT_NEAR(param, 1.5 - moved, 1e-5);
  for (const double param : train(DType::kBF16, false)) EXPECT_EQ(param, 1.5);
  double mean = 0;
  for (const double param : train(DType::kBF16, true)) mean += param / kCount;
  // A step is rounded with a variance below spacing * step: the mean of all has this deviation.
  const double deviation = std::sqrt(kSteps * 0x1p-7 * static_cast<double>(kLr) / kCount);
  EXPECT_NEAR(mean, 1.5 - moved, 4 * deviation);
  EXPECT_LT(4 * deviation, 0.1 * moved);
}

TEST_P(OptimizerTest, SumOfSquaresMatchesReference) {
  for (const int64_t count : kCounts) {
    const Array x(DType::kF32, random_values("x", count, 100));
    const std::vector<double> values = x.values();
    double wanted = 0;
    ref::sum_squares({count, values.data(), &wanted});
    for (TestTeam& team : teams()) {
      EXPECT_NEAR(run_sum_squares(table(), team, x), wanted, 1e-13 * wanted) << count;
    }
    EXPECT_EQ(run_sum_squares(table(), teams()[0], x), run_sum_squares(table(), teams()[2], x));
  }
}

TEST_P(OptimizerTest, SumOfSquaresShowsNaNAndDoesNotOverflow) {
  Array x(DType::kF32, std::vector<double>(10'000, 0x1p100));
  EXPECT_EQ(run_sum_squares(table(), teams()[1], x), 10'000 * 0x1p200);
  x.floats()[9'000] = std::numeric_limits<float>::quiet_NaN();
  EXPECT_TRUE(std::isnan(run_sum_squares(table(), teams()[1], x)));
}

ASHLAR_TEST_EACH_TIER(OptimizerTest);

TEST(OptimizerTiers, VectorTiersGiveEqualBitsAndSumsEqualScalar) {
  TestTeam team(2);
  const State before = initial_state(5003);
  const Array grad(DType::kF32, random_values("grad", 5003));
  std::vector<State> states;
  for (const IsaTier tier : runnable_vector_tiers()) {
    states.push_back(run_adamw(kernel_table(tier), team.with_scratch(), before, grad));
    EXPECT_TRUE(states.back() == states.front()) << name(tier);
    EXPECT_EQ(run_sum_squares(kernel_table(tier), team, grad),
              run_sum_squares(kernel_table(IsaTier::kScalar), team, grad));
  }
}

// With no history, no decay and eps gone, the first step is lr against the gradient's sign.
TEST(OptimizerReference, FirstStepIsTheLearningRateAgainstTheSign) {
  std::vector<double> param = {1, 1}, m = {0, 0}, v = {0, 0};
  const std::vector<double> grad = {0.3, -20};
  ref::AdamWArgs args;
  args.elements = 2;
  args.param = param.data();
  args.m = m.data();
  args.v = v.data();
  args.grad = grad.data();
  args.lr = 0.1;
  args.eps = 0;
  args.bias_correction1 = 1 - args.beta1;
  args.bias_correction2 = 1 - args.beta2;
  ref::adamw(args);
  EXPECT_NEAR(param[0], 0.9, 1e-12);
  EXPECT_NEAR(param[1], 1.1, 1e-12);

  // Decay alone shrinks the parameter by lr * weight_decay of itself.
  const std::vector<double> nothing = {0, 0};
  m = v = nothing;
  args.grad = nothing.data();
  args.eps = 1e-8;
  args.weight_decay = 0.5;
  ref::adamw(args);
  EXPECT_NEAR(param[0], 0.9 * 0.95, 1e-12);
}

}  // namespace
}  // namespace ashlar::kernels
