#include "ashlar/kernels/ref/rows.h"

namespace ashlar::kernels::ref {

void gather_rows(const GatherRowsArgs& args) {
  for (int64_t t = 0; t < args.rows; ++t) {
    for (int64_t c = 0; c < args.width; ++c) {
      const double add = args.add != nullptr ? args.add[t * args.width + c] : 0;
      args.y[t * args.width + c] = args.table[args.ids[t] * args.width + c] + add;
    }
  }
}

void scatter_add_rows(const ScatterAddRowsArgs& args) {
  if (!args.accumulate) {
    for (int64_t i = 0; i < args.table_rows * args.width; ++i) args.d_table[i] = 0;
  }
  for (int64_t t = 0; t < args.rows; ++t) {
    for (int64_t c = 0; c < args.width; ++c) {
      args.d_table[args.ids[t] * args.width + c] += args.d_y[t * args.width + c];
    }
  }
}

}  // namespace ashlar::kernels::ref
