#include "ashlar/kernels/ref/rows.h"

#include "tests/kernels/array.h"
#include "tests/kernels/central_differences.h"
#include "tests/kernels/tier_fixture.h"

#include <fmt/format.h>
#include <gtest/gtest.h>

#include <array>
#include <vector>

namespace ashlar::kernels {
namespace {

struct Size {
  int64_t rows, width, table_rows;
};
constexpr Size kSizes[] = {{0, 8, 3},  {1, 1, 1},   {5, 7, 3},      {9, 8, 4},
                           {8, 17, 3}, {20, 33, 5}, {700, 320, 100}};
constexpr DType kDTypes[] = {DType::kF32, DType::kBF16, DType::kF16};

class RowsTest : public TierTest {};

Array run_gather(const KernelTable& table, const Team& team, Size size, const Array& rows,
                 const std::vector<int32_t>& ids, const Array* add, DType dtype) {
  Array y(dtype, size.rows * size.width);
  GatherRowsArgs args;
  args.rows = size.rows;
  args.width = size.width;
  args.table_rows = size.table_rows;
  args.table_dtype = rows.dtype();
  args.dtype = dtype;
  args.table = rows.data();
  args.ids = ids.data();
  args.add = add != nullptr ? add->data() : nullptr;
  args.y = y.data();
  table.gather_rows(args, team);
  return y;
}

Array run_scatter(const KernelTable& table, const Team& team, Size size, Array d_table,
                  const std::vector<int32_t>& ids, const Array& d_y, bool accumulate) {
  ScatterAddRowsArgs args;
  args.rows = size.rows;
  args.width = size.width;
  args.table_rows = size.table_rows;
  args.dtype = d_y.dtype();
  args.ids = ids.data();
  args.d_y = d_y.data();
  args.table_dtype = d_table.dtype();
  args.d_table = d_table.data();
  args.accumulate = accumulate;
  table.scatter_add_rows(args, team);
  return d_table;
}

// The contract of scatter: rows in ascending order, rounded to the table's dtype after each.
Array add_in_order(const Array& before, int64_t width, const std::vector<int32_t>& ids,
                   const Array& d_y, bool accumulate) {
  std::vector<double> sums = before.values();
  if (!accumulate) sums.assign(sums.size(), 0.0);
  const std::vector<double> d_ys = d_y.values();
  for (size_t i = 0; i < d_ys.size(); ++i) {
    const int64_t row = ids[i / static_cast<size_t>(width)];
    double& sum = sums[static_cast<size_t>(row * width) + i % static_cast<size_t>(width)];
    sum = rounded(before.dtype(), {static_cast<float>(sum) + static_cast<float>(d_ys[i])})[0];
  }
  return Array(before.dtype(), sums);
}

TEST_P(RowsTest, GatherMatchesReference) {
  for (const DType table_dtype : kDTypes) {
    for (const DType dtype : kDTypes) {
      for (const Size size : kSizes) {
        const Array rows(table_dtype, random_values("table", size.table_rows * size.width));
        const Array add(dtype, random_values("add", size.rows * size.width));
        const auto ids = random_ids("ids", size.rows, size.table_rows);
        for (const Array* added : {static_cast<const Array*>(nullptr), &add}) {
          const std::vector<double> values = rows.values();
          const std::vector<double> adds = add.values();
          std::vector<double> wanted(adds.size());
          ref::gather_rows({size.rows, size.width, size.table_rows, 0, values.data(), ids.data(),
                            added != nullptr ? adds.data() : nullptr, wanted.data()});
          for (TestTeam& team : teams()) {
            const Array y = run_gather(table(), team.with_scratch(), size, rows, ids, added, dtype);
            // A copy or one addition: exactly the rounded reference.
            EXPECT_TRUE(y == Array(dtype, wanted)) << fmt::format(
                "{} from {}, {}x{}", name(dtype), name(table_dtype), size.rows, size.width);
          }
        }
      }
    }
  }
}

TEST_P(RowsTest, ScatterAddMatchesReference) {
  for (const DType table_dtype : kDTypes) {
    for (const DType dtype : kDTypes) {
      for (const Size size : kSizes) {
        for (const bool accumulate : {false, true}) {
          const Array before(table_dtype, random_values("table", size.table_rows * size.width));
          const Array d_y(dtype, random_values("d_y", size.rows * size.width));
          const auto ids = random_ids("ids", size.rows, size.table_rows);
          std::vector<double> wanted = before.values();
          const std::vector<double> d_ys = d_y.values();
          ref::scatter_add_rows({size.rows, size.width, size.table_rows, 0, ids.data(), d_ys.data(),
                                 wanted.data(), accumulate});
          const Array found =
              run_scatter(table(), teams()[0].with_scratch(), size, before, ids, d_y, accumulate);
          EXPECT_TRUE(found == add_in_order(before, size.width, ids, d_y, accumulate));
          if (table_dtype == DType::kF32) {
            expect_close(found, wanted, fmt::format("scatter of {}", name(dtype)));
          }
          for (TestTeam& team : teams()) {
            EXPECT_TRUE(found == run_scatter(table(), team.with_scratch(), size, before, ids, d_y,
                                             accumulate))
                << team.threads() << " threads";
          }
        }
      }
    }
  }
}

// A table dealt to 3 ranks: the terms of the ranks add up to the rows of the whole, and each gets
// the gradient of its own rows. An id that is nobody's (negative) names zeros.
TEST_P(RowsTest, SlicesOfATable) {
  constexpr int64_t kRows = 40, kWidth = 17, kTableRows = 11;
  constexpr int kRanks = 3;
  const Array whole(DType::kF32, random_values("table", kTableRows * kWidth));
  const Array add(DType::kF32, random_values("add", kRows * kWidth));
  const Array before(DType::kF32, random_values("before", kTableRows * kWidth));
  auto ids = random_ids("ids", kRows, kTableRows);
  ids[5] = -1;
  const Team team = teams()[1].with_scratch();
  std::vector<double> sums(static_cast<size_t>(kRows * kWidth));
  std::vector<double> grads;
  for (int rank = 0; rank < kRanks; ++rank) {
    const int64_t first = std::array{0, 4, 8}[static_cast<size_t>(rank)];
    const int64_t count = rank < 2 ? 4 : 3;
    const Array table_rows = whole.slice(first * kWidth, count * kWidth);
    GatherRowsArgs gather;
    gather.rows = kRows;
    gather.width = kWidth;
    gather.table_rows = count;
    gather.first_row = first;
    gather.table = table_rows.data();
    gather.ids = ids.data();
    gather.add = rank == 0 ? add.data() : nullptr;
    Array y(DType::kF32, kRows * kWidth);
    gather.y = y.data();
    table().gather_rows(gather, team);
    const std::vector<double> term = y.values(), rows = table_rows.values(), adds = add.values();
    std::vector<double> wanted(term.size());
    ref::gather_rows({kRows, kWidth, count, first, rows.data(), ids.data(),
                      rank == 0 ? adds.data() : nullptr, wanted.data()});
    EXPECT_TRUE(y == Array(DType::kF32, wanted)) << rank;
    for (size_t i = 0; i < sums.size(); ++i) sums[i] += term[i];

    Array d_table = before.slice(first * kWidth, count * kWidth);
    ScatterAddRowsArgs scatter;
    scatter.rows = kRows;
    scatter.width = kWidth;
    scatter.table_rows = count;
    scatter.first_row = first;
    scatter.ids = ids.data();
    scatter.d_y = add.data();
    scatter.d_table = d_table.data();
    std::vector<double> d_rows = d_table.values();
    table().scatter_add_rows(scatter, team);
    ref::scatter_add_rows(
        {kRows, kWidth, count, first, ids.data(), adds.data(), d_rows.data(), true});
    expect_close(d_table, d_rows, "rows of a slice");
    const std::vector<double> found = d_table.values();
    grads.insert(grads.end(), found.begin(), found.end());
  }
  // Against the whole table, where the id of nobody is left out.
  std::vector<double> wanted = add.values(), d_whole = before.values();
  for (int64_t t = 0; t < kRows; ++t) {
    for (int64_t c = 0; c < kWidth && ids[static_cast<size_t>(t)] >= 0; ++c) {
      const auto at = static_cast<size_t>(ids[static_cast<size_t>(t)] * kWidth + c);
      d_whole[at] += add.values()[static_cast<size_t>(t * kWidth + c)];
      wanted[static_cast<size_t>(t * kWidth + c)] += whole.values()[at];
    }
  }
  expect_close(Array(DType::kF32, sums), wanted, "sum of the terms");
  expect_close(Array(DType::kF32, grads), d_whole, "rows of all slices");
}

ASHLAR_TEST_EACH_TIER(RowsTest);

TEST(RowsReference, ScatterIsTheGradientOfGather) {
  const Size size{6, 4, 3};
  const auto values = random_values("table", size.table_rows * size.width);
  const auto d_y = random_values("d_y", size.rows * size.width);
  const auto ids = random_ids("ids", size.rows, size.table_rows);
  std::vector<double> d_table(values.size(), 7.0);  // cleared by the call
  ref::scatter_add_rows(
      {size.rows, size.width, size.table_rows, 0, ids.data(), d_y.data(), d_table.data(), false});
  const auto loss = [&](const auto& v) {
    std::vector<double> y(d_y.size());
    ref::gather_rows(
        {size.rows, size.width, size.table_rows, 0, v.data(), ids.data(), nullptr, y.data()});
    return dot(y, d_y);
  };
  expect_gradient(d_table, loss, values, "table");
}

}  // namespace
}  // namespace ashlar::kernels
