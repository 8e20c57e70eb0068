// Column sums of a matrix: the gradient of a bias. Each column is one chain over ascending rows, so
// its bits do not depend on how columns are shared out.
#include "ashlar/kernels/rows_parallel.h"
#include "ashlar/kernels/table.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {
namespace {

// Adds kRows rows, the first at x, to the sums of `columns` columns.
template <int kRows, typename T>
ASHLAR_INLINE void add_rows(const T* x, int64_t width, int64_t columns, float* sums) {
  for_each_vec(columns, [&](int64_t i, auto count) {
    Vec sum = load(sums + i, count);
#pragma GCC unroll 8
    for (int r = 0; r < kRows; ++r) sum = sum + load(x + r * width + i, count);
    store(sums + i, sum, count);
  });
}

template <typename T>
ASHLAR_INLINE void sum_columns(const ColumnSumArgs& args, int64_t begin, int64_t end) {
  constexpr int kRows = 8;  // rows in flight: the sums stay in registers meanwhile
  const T* x = static_cast<const T*>(args.x) + begin;
  float* sums = args.sum + begin;
  if (!args.accumulate) {
    for_each_vec(end - begin, [&](int64_t i, auto count) { store(sums + i, zero(), count); });
  }
  int64_t t = 0;
  for (; t + kRows <= args.rows; t += kRows) {
    add_rows<kRows>(x + t * args.width, args.width, end - begin, sums);
  }
  for (; t < args.rows; ++t) add_rows<1>(x + t * args.width, args.width, end - begin, sums);
}

void column_sum(const ColumnSumArgs& args, const Team& team) {
  with_element(args.dtype, [&](auto element) {
    parallel_columns(team, args.width, [&](int64_t begin, int64_t end) {
      sum_columns<decltype(element)>(args, begin, end);
    });
  });
}

}  // namespace

void fill_column_sum(KernelTable& table) { table.column_sum = column_sum; }

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
