// Vec's conversions, through the cast kernel: every bf16 and f16 code, and floats around the points
// where rounding turns.
#include "tests/kernels/array.h"
#include "tests/kernels/tier_fixture.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <vector>

namespace ashlar::kernels {
namespace {

constexpr int64_t kGuard = 16;

class Cast : public TierTest {
 protected:
  template <typename From, typename To>
  std::vector<To> cast(DType from, DType to, const std::vector<From>& x, TestTeam& team) {
    std::vector<To> y(x.size());
    table().cast({static_cast<int64_t>(x.size()), from, to, x.data(), y.data()},
                 team.with_scratch());
    return y;
  }
};
ASHLAR_TEST_EACH_TIER(Cast);

template <typename T>
std::vector<T> all_codes() {
  std::vector<T> codes(0x10000);
  for (size_t i = 0; i < codes.size(); ++i) codes[i].bits = static_cast<uint16_t>(i);
  return codes;
}

// Every sign and exponent; mantissas next to multiples of half a unit of bf16 and f16.
std::vector<float> turning_points() {
  std::vector<float> points;
  for (uint32_t high = 0; high < 0x10000; high += 0x8) {
    for (const uint32_t low : {0x0u, 0x1u, 0xfffu, 0x1000u, 0x1001u, 0x2fffu, 0x3000u, 0x7fffu,
                               0x8000u, 0x8001u, 0xffffu}) {
      points.push_back(std::bit_cast<float>(high << 16 | low));
      points.push_back(std::bit_cast<float>((high | 1u) << 16 | low));
    }
  }
  return points;
}

template <typename T, typename Reference>
void expect_rounded(const std::vector<float>& x, const std::vector<T>& y, Reference reference) {
  for (size_t i = 0; i < x.size(); ++i) {
    if (std::isnan(x[i])) {
      ASSERT_TRUE(std::isnan(to_float(y[i]))) << "a NaN became " << to_float(y[i]);
    } else {
      ASSERT_EQ(y[i].bits, reference(x[i]).bits) << x[i];
    }
  }
}

TEST_P(Cast, RoundsToNearestEven) {
  const std::vector<float> x = turning_points();
  expect_rounded(x, cast<float, bf16>(DType::kF32, DType::kBF16, x, teams()[1]),
                 [](float v) { return to_bf16(v); });
  expect_rounded(x, cast<float, f16>(DType::kF32, DType::kF16, x, teams()[1]),
                 [](float v) { return to_f16(v); });
}

template <typename T>
void expect_widened(const std::vector<T>& x, const std::vector<float>& y) {
  for (size_t i = 0; i < x.size(); ++i) {
    const float wanted = to_float(x[i]);
    if (std::isnan(wanted)) {
      ASSERT_TRUE(std::isnan(y[i])) << "code " << x[i].bits;
    } else {
      ASSERT_EQ(std::bit_cast<uint32_t>(y[i]), std::bit_cast<uint32_t>(wanted))
          << "code " << x[i].bits;
    }
  }
}

TEST_P(Cast, WideningIsExact) {
  const auto brains = all_codes<bf16>();
  expect_widened(brains, cast<bf16, float>(DType::kBF16, DType::kF32, brains, teams()[2]));
  const auto halves = all_codes<f16>();
  expect_widened(halves, cast<f16, float>(DType::kF16, DType::kF32, halves, teams()[2]));
}

TEST_P(Cast, TailsTouchNothingBeyond) {
  constexpr DType kFloats[] = {DType::kF32, DType::kBF16, DType::kF16};
  for (const DType from : kFloats) {
    for (const DType to : kFloats) {
      for (const int64_t count : {0, 1, 7, 8, 9, 15, 16, 17, 33}) {
        const Array x(from, rounded(DType::kBF16, random_values("x", count)));
        Array y(to, count + kGuard);
        table().cast({count, from, to, x.data(), y.data()}, teams()[0].with_scratch());
        EXPECT_EQ(y.slice(count, kGuard), Array(to, kGuard)) << count;
        expect_close(y.slice(0, count), x.values(), "y");
      }
    }
  }
}

}  // namespace
}  // namespace ashlar::kernels
