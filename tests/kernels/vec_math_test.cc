#include "ashlar/base/cpu.h"
#include "tests/kernels/tier_fixture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <bit>
#include <cmath>
#include <limits>
#include <vector>

#define ASHLAR_DECLARE(tier)                                                   \
  namespace ashlar::kernels::tier {                                            \
  void map_vec_math(int function, const float* x, float* y, int64_t elements); \
  }
ASHLAR_DECLARE(scalar)
#if defined(__x86_64__)
ASHLAR_DECLARE(avx2)
ASHLAR_DECLARE(avx512)
#endif

namespace ashlar::kernels {
namespace {

constexpr float kInf = std::numeric_limits<float>::infinity();

using Map = void (*)(int function, const float* x, float* y, int64_t elements);
Map map_of(IsaTier tier) {
  switch (tier) {
#if defined(__x86_64__)
    case IsaTier::kAvx2:
    case IsaTier::kAvx512OnAvx2:  // the same objects
      return avx2::map_vec_math;
    case IsaTier::kAvx512:
    case IsaTier::kAvx512Bf16:
    case IsaTier::kAmxOnAvx512:
    case IsaTier::kAmx:
      return avx512::map_vec_math;
#endif
    default:
      return scalar::map_vec_math;
  }
}

std::vector<float> apply(IsaTier tier, int function, const std::vector<float>& x) {
  std::vector<float> y(x.size());
  map_of(tier)(function, x.data(), y.data(), static_cast<int64_t>(x.size()));
  return y;
}

struct Function {
  const char* name;
  int number;
  double (*exact)(double);
  double low, high;  // where the error is measured
};
const Function kFunctions[] = {
    {"exp", 0, [](double x) { return std::exp(x); }, -87.336, 88.722},
    {"log", 1, [](double x) { return std::log(x); }, 0, 3e38},
    {"tanh", 2, [](double x) { return std::tanh(x); }, -20, 20},
    {"erf", 3, [](double x) { return std::erf(x); }, -10, 10},
    {"sigmoid", 4, [](double x) { return 1 / (1 + std::exp(-x)); }, -80, 80},
};

// Every 4099th float of [low, high]: all exponents, subnormals included.
std::vector<float> sweep(double low, double high) {
  std::vector<float> xs;
  for (uint64_t bits = 0; bits < 0x100000000; bits += 4099) {
    const float x = std::bit_cast<float>(static_cast<uint32_t>(bits));
    if (x >= low && x <= high) xs.push_back(x);
  }
  return xs;
}

// Distance in units of the last place of the exact value.
double ulps(float found, double exact) {
  const double unit = std::ldexp(1.0, std::max(std::ilogb(exact), -126) - 23);
  return exact == 0 ? std::abs(found) / 0x1p-149 : std::abs(found - exact) / unit;
}

class VecMathTest : public TierTest {};

TEST_P(VecMathTest, IsWithinTwoUnitsInTheLastPlace) {
  for (const Function& f : kFunctions) {
    const std::vector<float> xs = sweep(f.low, f.high);
    const std::vector<float> ys = apply(GetParam(), f.number, xs);
    double worst = 0;
    float worst_x = 0;
    for (size_t i = 0; i < xs.size(); ++i) {
      const double error = ulps(ys[i], f.exact(xs[i]));
      if (!(error <= worst)) worst = error, worst_x = xs[i];
    }
    RecordProperty(f.name, fmt::format("{:.3f}", worst));
    EXPECT_LE(worst, 2) << f.name << "(" << worst_x << ")";
  }
}

TEST_P(VecMathTest, EdgesAreSane) {
  const float nan = std::numeric_limits<float>::quiet_NaN();
  for (const Function& f : kFunctions) {
    EXPECT_TRUE(std::isnan(apply(GetParam(), f.number, {nan})[0])) << f.name;
  }
  using Floats = std::vector<float>;
  const auto apply_here = [](int function, const Floats& x) {
    return apply(GetParam(), function, x);
  };
  EXPECT_EQ(apply_here(0, {0, 89, 1e30f, kInf, -88, -1e30f, -kInf}),
            (Floats{1, kInf, kInf, kInf, 0, 0, 0}));
  EXPECT_EQ(apply_here(1, {1, 0, -0.0f, kInf}), (Floats{0, -kInf, -kInf, kInf}));
  EXPECT_TRUE(std::isnan(apply_here(1, {-1})[0]));
  EXPECT_EQ(apply_here(2, {0, 100, -100, kInf, -kInf}), (Floats{0, 1, -1, 1, -1}));
  EXPECT_TRUE(std::signbit(apply_here(2, {-0.0f})[0]));
  EXPECT_EQ(apply_here(3, {0, 5, -5, kInf, -kInf}), (Floats{0, 1, -1, 1, -1}));
  EXPECT_EQ(apply_here(4, {0, kInf, -kInf}), (Floats{0.5f, 1, 0}));
}

ASHLAR_TEST_EACH_TIER(VecMathTest);

TEST(VecMathTiers, VectorTiersGiveEqualBits) {
  const std::vector<IsaTier> tiers = runnable_vector_tiers();
  for (const Function& f : kFunctions) {
    const std::vector<float> xs = sweep(-kInf, kInf);
    std::vector<std::vector<float>> ys;
    for (const IsaTier tier : tiers) {
      ys.push_back(apply(tier, f.number, xs));
      for (size_t i = 0; i < xs.size(); ++i) {
        ASSERT_EQ(std::bit_cast<uint32_t>(ys.back()[i]), std::bit_cast<uint32_t>(ys.front()[i]))
            << f.name << "(" << xs[i] << ") on " << name(tier);
      }
    }
  }
}

}  // namespace
}  // namespace ashlar::kernels
