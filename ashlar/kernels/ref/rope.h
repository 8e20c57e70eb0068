// Rotary positions in double (Su et al. 2021): the oracle of ../rope.kernel.cc and the engine of
// fp64 runs. The gradient is the rotation with `inverse` flipped.
#pragma once

#include <cstdint>

namespace ashlar::kernels::ref {

struct RopeArgs {
  int64_t tokens = 0, heads = 0, head_dim = 0, rotary_begin = 0, rotary_dim = 0;
  const double* x = nullptr;  // [T,H,D], row stride x_stride
  int64_t x_stride = 0;
  const int32_t* positions = nullptr;  // [T]
  const double* table = nullptr;       // [P, rotary_dim]: cosines, then sines
  double* y = nullptr;                 // [T,H,D] contiguous; may be x
  bool interleaved = false;
  bool inverse = false;
};

void rope(const RopeArgs& args);

}  // namespace ashlar::kernels::ref
