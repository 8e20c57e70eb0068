// Rows by index in double: embedding lookup and its gradient; the oracle of ../rows.kernel.cc and
// the engine of fp64 runs. Fields mean what they mean in ../args.h.
#pragma once

#include <cstdint>

namespace ashlar::kernels::ref {

struct GatherRowsArgs {
  int64_t rows = 0, width = 0, table_rows = 0, first_row = 0;
  const double* table = nullptr;  // [V,C]
  const int32_t* ids = nullptr;   // [T]
  const double* add = nullptr;    // [T,C]; may be null
  double* y = nullptr;            // [T,C]
};
struct ScatterAddRowsArgs {
  int64_t rows = 0, width = 0, table_rows = 0, first_row = 0;
  const int32_t* ids = nullptr;
  const double* d_y = nullptr;  // [T,C]
  double* d_table = nullptr;    // [V,C]
  bool accumulate = true;
};

// y[t] = table[ids[t]] + add[t].
void gather_rows(const GatherRowsArgs& args);
// d_table[ids[t]] += d_y[t]; the gradient of gather_rows with respect to its table.
void scatter_add_rows(const ScatterAddRowsArgs& args);

}  // namespace ashlar::kernels::ref
