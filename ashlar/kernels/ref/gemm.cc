#include "ashlar/kernels/ref/gemm.h"

#include "ashlar/kernels/ref/elementwise.h"

#include <vector>

namespace ashlar::kernels::ref {

void gemm(const GemmArgs& args) {
  if (args.n == 0) return;  // B may be nowhere
  const size_t n = static_cast<size_t>(args.n);
  std::vector<double> row(n);
  for (int64_t i = 0; i < args.m; ++i) {
    row.assign(n, 0.0);
    for (int64_t k = 0; k < args.r; ++k) {
      const double a = args.a.data[i * args.a.row_stride + k * args.a.col_stride];
      const double* b = args.b.data + k * args.b.row_stride;
      for (size_t j = 0; j < n; ++j) row[j] += a * b[static_cast<int64_t>(j) * args.b.col_stride];
    }
    for (size_t j = 0; j < n; ++j) {
      double& c = args.c[i * args.c_stride + static_cast<int64_t>(j)];
      double y = row[j] + (args.accumulate ? c : 0);
      if (args.bias != nullptr) y += args.bias[j];
      y = activate(args.activation, y);
      if (args.residual != nullptr) {
        y += args.residual[i * args.residual_stride + static_cast<int64_t>(j)];
      }
      c = y;
    }
  }
}

}  // namespace ashlar::kernels::ref
