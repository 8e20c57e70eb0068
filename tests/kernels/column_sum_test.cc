#include "ashlar/kernels/ref/column_sum.h"

#include "tests/kernels/array.h"
#include "tests/kernels/central_differences.h"
#include "tests/kernels/tier_fixture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <vector>

namespace ashlar::kernels {
namespace {

struct Size {
  int64_t rows, width;
};
constexpr Size kSizes[] = {{0, 5},  {1, 1},  {3, 7},     {9, 8},    {8, 9},
                           {5, 17}, {4, 33}, {700, 320}, {20, 1111}};

Array run_kernel(const KernelTable& table, const Team& team, const Array& x, int64_t begin,
                 int64_t rows, Array sum, bool accumulate) {
  const Array part = x.slice(begin * sum.size(), rows * sum.size());
  table.column_sum({rows, sum.size(), x.dtype(), part.data(), sum.floats(), accumulate}, team);
  return sum;
}

class ColumnSumTest : public TierTest {};

TEST_P(ColumnSumTest, MatchesReferenceForEverySizeAndTeam) {
  for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
    for (const Size size : kSizes) {
      for (const bool accumulate : {false, true}) {
        const Array x(dtype, random_values("x", size.rows * size.width));
        const Array before(DType::kF32, random_values("sum", size.width));
        const std::vector<double> values = x.values();
        std::vector<double> wanted = before.values();
        ref::column_sum({size.rows, size.width, values.data(), wanted.data(), accumulate});
        const Array found =
            run_kernel(table(), teams()[0].with_scratch(), x, 0, size.rows, before, accumulate);
        expect_close(found, wanted, fmt::format("{} {}x{}", name(dtype), size.rows, size.width));
        for (TestTeam& team : teams()) {
          EXPECT_TRUE(found ==
                      run_kernel(table(), team.with_scratch(), x, 0, size.rows, before, accumulate))
              << size.rows << "x" << size.width << " with " << team.threads() << " threads";
        }
      }
    }
  }
}

// Each column is one chain: the second half of the rows continues the first.
TEST_P(ColumnSumTest, AccumulatesToTheBitsOfOneCall) {
  const Array x(DType::kF32, random_values("x", 43 * 33));
  const Array empty(DType::kF32, 33);
  const Team team = teams()[1].with_scratch();
  const Array all = run_kernel(table(), team, x, 0, 43, empty, false);
  const Array half = run_kernel(table(), team, x, 0, 21, empty, false);
  EXPECT_TRUE(run_kernel(table(), team, x, 21, 22, half, true) == all);
}

ASHLAR_TEST_EACH_TIER(ColumnSumTest);

TEST(ColumnSumTiers, AllTiersGiveEqualBits) {
  TestTeam team(2);
  const Array x(DType::kBF16, random_values("x", 700 * 320));
  const Array empty(DType::kF32, 320);
  const Array wanted =
      run_kernel(kernel_table(IsaTier::kScalar), team.with_scratch(), x, 0, 700, empty, false);
  for (const IsaTier tier : runnable_vector_tiers()) {
    EXPECT_TRUE(wanted ==
                run_kernel(kernel_table(tier), team.with_scratch(), x, 0, 700, empty, false))
        << name(tier);
  }
}

TEST(ColumnSumReference, IsTheGradientOfABias) {
  constexpr int64_t kRows = 4, kWidth = 3;
  const auto d_y = random_values("d_y", kRows * kWidth);
  std::vector<double> d_bias(kWidth);
  ref::column_sum({kRows, kWidth, d_y.data(), d_bias.data(), false});
  const auto loss = [&](const auto& bias) {  // y[t, c] = bias[c]
    double sum = 0;
    for (size_t i = 0; i < d_y.size(); ++i) sum += bias[i % kWidth] * d_y[i];
    return sum;
  };
  expect_gradient(d_bias, loss, random_values("bias", kWidth), "bias");
}

}  // namespace
}  // namespace ashlar::kernels
