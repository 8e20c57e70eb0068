// gemm in double: the oracle of ../gemm.kernel.cc and the engine of fp64 runs. Fields mean what
// they mean in ../args.h.
#pragma once

#include "ashlar/kernels/args.h"

#include <cstdint>

namespace ashlar::kernels::ref {

struct MatrixView {  // element (i, j) at data[i * row_stride + j * col_stride]
  const double* data = nullptr;
  int64_t row_stride = 0;
  int64_t col_stride = 1;
};

struct GemmArgs {
  int64_t m = 0, n = 0, r = 0;
  MatrixView a;         // [M,R]
  MatrixView b;         // [R,N]
  double* c = nullptr;  // [M,N]
  int64_t c_stride = 0;
  bool accumulate = false;
  const double* bias = nullptr;  // [N]
  Activation activation = Activation::kNone;
  const double* residual = nullptr;  // [M,N]; may be c
  int64_t residual_stride = 0;
};

// C = activation(A B (+ C) + bias) + residual.
void gemm(const GemmArgs& args);

}  // namespace ashlar::kernels::ref
