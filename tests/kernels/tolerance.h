// How far a kernel may be from its reference in double: one row per dtype, for every kernel.
// Errors are relative to the wanted value, or to the root mean square of all wanted values where
// that is larger (a sum that cancels to nearly nothing is as exact as its terms).
#pragma once

#include "ashlar/tensor/dtype.h"

namespace ashlar::kernels {

// f32: a few tens of roundings of 2^-24. bf16 and f16: one rounding of the result to 8 or 11 bits
// (2^-9, 2^-12), doubled because a value may lie next to a rounding boundary.
constexpr double tolerance(DType dtype) {
  switch (dtype) {
    case DType::kBF16:
      return 0x1p-8;
    case DType::kF16:
      return 0x1p-11;
    default:
      return 4e-6;
  }
}

}  // namespace ashlar::kernels
