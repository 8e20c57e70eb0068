// Column sums in double, the gradient of a bias: the oracle of ../column_sum.kernel.cc.
#pragma once

#include <cstdint>

namespace ashlar::kernels::ref {

struct ColumnSumArgs {
  int64_t rows = 0, width = 0;
  const double* x = nullptr;  // [T,C]
  double* sum = nullptr;      // [C]
  bool accumulate = false;
};

void column_sum(const ColumnSumArgs& args);

}  // namespace ashlar::kernels::ref
