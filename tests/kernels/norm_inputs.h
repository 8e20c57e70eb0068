// What the tests of norms feed them: rows, a weight and a bias, gradients, and what gradients are
// added to.
#pragma once

#include "tests/kernels/array.h"

namespace ashlar::kernels {

struct NormSize {
  int64_t rows, width;
};

// One norm's inputs, already rounded to what the kernel reads.
struct NormInputs {
  NormInputs(DType dtype_of_x, NormSize size)
      : dtype(dtype_of_x),
        rows(size.rows),
        width(size.width),
        x(dtype, random_values("x", rows * width, 1.5, 0.5)),
        weight(DType::kF32, random_values("weight", width, 0.3, 1)),
        bias(DType::kF32, random_values("bias", width)),
        d_y(dtype, random_values("d_y", rows * width)),
        residual_grad(dtype, random_values("residual", rows * width)),
        old_weight(DType::kF32, random_values("old weight", width)),
        old_bias(DType::kF32, random_values("old bias", width)) {}

  DType dtype;
  int64_t rows, width;
  Array x, weight, bias, d_y, residual_grad, old_weight, old_bias;
};

}  // namespace ashlar::kernels
