// Column sums of a matrix: the gradient of a bias. Each column is one chain over ascending rows, so
// its bits do not depend on how columns are shared out.
#include "ashlar/kernels/args.h"
#include "ashlar/kernels/parallel.h"
#include "ashlar/kernels/table.h"
#include "ashlar/kernels/vec.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {
namespace {

constexpr int kVecs = 8;  // chains in flight: hides the latency of an addition
constexpr int64_t kSlice = kVecs * kLanes;

template <typename T>
ASHLAR_INLINE void sum_slice(const ColumnSumArgs& args, int64_t first) {
  const int64_t width = args.width - first < kSlice ? args.width - first : kSlice;
  Vec sums[kVecs];
  int64_t counts[kVecs];
  for (int i = 0; i < kVecs; ++i) {
    const int64_t left = width - i * kLanes;
    counts[i] = left < 0 ? 0 : left > kLanes ? kLanes : left;
    sums[i] = args.accumulate ? load(args.sum + first + i * kLanes, counts[i]) : zero();
  }
  const T* row = static_cast<const T*>(args.x) + first;
  for (int64_t t = 0; t < args.rows; ++t, row += args.width) {
    if (width == kSlice) {
      for (int i = 0; i < kVecs; ++i) sums[i] = sums[i] + load(row + i * kLanes);
    } else {
      for (int i = 0; i < kVecs; ++i) sums[i] = sums[i] + load(row + i * kLanes, counts[i]);
    }
  }
  for (int i = 0; i < kVecs; ++i) store(args.sum + first + i * kLanes, sums[i], counts[i]);
}

void column_sum(const ColumnSumArgs& args, const Team& team) {
  const auto slice = [&](int64_t task, int) {
    if (args.dtype == DType::kBF16) {
      sum_slice<bf16>(args, task * kSlice);
    } else {
      sum_slice<float>(args, task * kSlice);
    }
  };
  parallel_for(team, (args.width + kSlice - 1) / kSlice, slice);
}

}  // namespace

void fill_column_sum(KernelTable& table) { table.column_sum = column_sum; }

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
