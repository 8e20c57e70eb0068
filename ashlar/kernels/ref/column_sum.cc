#include "ashlar/kernels/ref/column_sum.h"

namespace ashlar::kernels::ref {

void column_sum(const ColumnSumArgs& args) {
  for (int64_t c = 0; c < args.width; ++c) {
    double sum = args.accumulate ? args.sum[c] : 0;
    for (int64_t t = 0; t < args.rows; ++t) sum += args.x[t * args.width + c];
    args.sum[c] = sum;
  }
}

}  // namespace ashlar::kernels::ref
