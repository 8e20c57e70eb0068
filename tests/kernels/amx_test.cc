// Products on AMX: the bits that amx/tile_registers.h and amx/planes.h promise, and how exact they
// are.
#include "tests/kernels/gemm_case.h"

#include <gtest/gtest.h>

#include <bit>
#include <cmath>
#include <utility>

namespace ashlar::kernels {
namespace {

std::vector<float> planes_of(double value, DType dtype) {
  const float x = static_cast<float>(value);
  if (dtype == DType::kBF16) return {x};
  const auto rounded = [](float v) {
    return std::bit_cast<float>((std::bit_cast<uint32_t>(v) + 0x8000u) & 0xffff0000u);
  };
  const float high = rounded(x), middle = rounded(x - high);
  return {high, middle, (x - high) - middle};
}

// Element (i, j) of a product in the order that the headers state.
float element(const GemmCase& shape, const GemmInputs& in, int64_t i, int64_t j) {
  const auto plane = [&](bool of_a, int64_t r, size_t p) {
    if (r >= shape.r) return 0.0f;
    const auto index = static_cast<size_t>(of_a ? i * shape.r + r : r * shape.n + j);
    return planes_of((of_a ? in.a : in.b)[index], of_a ? shape.a : shape.b)[p];
  };
  const bool a3 = shape.a == DType::kF32, b3 = shape.b == DType::kF32;
  std::vector<std::pair<size_t, size_t>> products;  // planes of A and B
  if (a3) products.insert(products.end(), {{2, 0}, {1, 0}});
  if (a3 && b3) products.emplace_back(1, 1);
  if (b3) products.insert(products.end(), {{0, 1}, {0, 2}});
  products.emplace_back(0, 0);
  float sum = 0;
  for (int64_t step = 0; step < shape.r; step += 32) {
    for (const auto& [p, q] : products) {
      float even = 0, odd = 0;
      for (int64_t r = step; r < step + 32; r += 2) {
        even = std::fma(plane(true, r, p), plane(false, r, q), even);
        odd = std::fma(plane(true, r + 1, p), plane(false, r + 1, q), odd);
      }
      sum += even + odd;
    }
  }
  return sum;
}

class Amx : public TierTest {
 protected:
  TestTeam team_{2};
};
INSTANTIATE_TEST_SUITE_P(Tiers, Amx, testing::Values(IsaTier::kAmxOnAvx512, IsaTier::kAmx),
                         tier_test_name);

TEST_P(Amx, SumsInTheStatedOrder) {
  for (const DType a : {DType::kF32, DType::kBF16}) {
    for (const DType b : {DType::kF32, DType::kBF16}) {
      GemmCase shape = {.m = 37, .n = 45, .r = 75, .a = a, .b = b};
      const GemmInputs inputs(shape);
      const Array found = run_gemm(table(), team_, shape, inputs);
      for (int64_t i = 0; i < shape.m; ++i) {
        for (int64_t j = 0; j < shape.n; ++j) {
          ASSERT_EQ(found.floats()[i * shape.n + j], element(shape, inputs, i, j))
              << shape << " at " << i << ", " << j;
        }
      }
    }
  }
}

// The root of the mean square of the errors, in units of the results'.
double error_of(const std::vector<double>& found, const std::vector<double>& wanted) {
  double errors = 0, squares = 0;
  for (size_t i = 0; i < found.size(); ++i) {
    errors += (found[i] - wanted[i]) * (found[i] - wanted[i]);
    squares += wanted[i] * wanted[i];
  }
  return std::sqrt(errors / squares);
}

TEST_P(Amx, F32IsMoreExactThanAChainOfMultiplyAdds) {
  for (const int64_t r : {64, 1000, 5632}) {
    const GemmCase shape = {.m = 60, .n = 50, .r = r};
    const GemmInputs in(shape);
    std::vector<double> chains;
    for (int64_t i = 0; i < shape.m; ++i) {
      for (int64_t j = 0; j < shape.n; ++j) {
        float sum = 0;
        for (int64_t k = 0; k < r; ++k) {
          sum = std::fma(static_cast<float>(in.a[static_cast<size_t>(i * r + k)]),
                         static_cast<float>(in.b[static_cast<size_t>(k * shape.n + j)]), sum);
        }
        chains.push_back(sum);
      }
    }
    const std::vector<double> wanted = gemm_reference(shape, in);
    const Array found = run_gemm(table(), team_, shape, in);
    EXPECT_LT(error_of(found.values(), wanted), error_of(chains, wanted)) << "r = " << r;
  }
}

TEST_P(Amx, LargeAndNonFiniteF32) {
  GemmCase shape = {.m = 3, .n = 2, .r = 40};
  GemmInputs inputs(shape);
  for (double& b : inputs.b) b = 0;
  inputs.b[0] = inputs.b[1] = 1;  // C is A's first column, twice
  const double most = std::numeric_limits<float>::max();
  inputs.a[0] = most;
  inputs.a[40] = -most;
  inputs.a[80] = std::nan("");
  const Array found = run_gemm(table(), team_, shape, inputs);
  EXPECT_EQ(found.values()[0], most);
  EXPECT_EQ(found.values()[2], -most);
  EXPECT_TRUE(std::isnan(found.values()[4]));
}

}  // namespace
}  // namespace ashlar::kernels
