#include "ashlar/kernels/ref/rows.h"

namespace ashlar::kernels::ref {
namespace {

// Where row `id` of the larger table lies in this slice of it; -1 where it does not.
int64_t row_here(int32_t id, int64_t first_row, int64_t table_rows) {
  const int64_t row = id - first_row;
  return row >= 0 && row < table_rows ? row : -1;
}

}  // namespace

void gather_rows(const GatherRowsArgs& args) {
  for (int64_t t = 0; t < args.rows; ++t) {
    const int64_t row = row_here(args.ids[t], args.first_row, args.table_rows);
    for (int64_t c = 0; c < args.width; ++c) {
      const double add = args.add != nullptr ? args.add[t * args.width + c] : 0;
      args.y[t * args.width + c] = (row >= 0 ? args.table[row * args.width + c] : 0) + add;
    }
  }
}

void scatter_add_rows(const ScatterAddRowsArgs& args) {
  if (!args.accumulate) {
    for (int64_t i = 0; i < args.table_rows * args.width; ++i) args.d_table[i] = 0;
  }
  for (int64_t t = 0; t < args.rows; ++t) {
    const int64_t row = row_here(args.ids[t], args.first_row, args.table_rows);
    if (row < 0) continue;
    for (int64_t c = 0; c < args.width; ++c) {
      args.d_table[row * args.width + c] += args.d_y[t * args.width + c];
    }
  }
}

}  // namespace ashlar::kernels::ref
