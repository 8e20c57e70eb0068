// Arguments of the gated MLP as one kernel, for weights in blocks.
#pragma once

#include "ashlar/kernels/args.h"

namespace ashlar::kernels {

// C = (f(X G) * (X U)) D, then the epilogue of `down`: with silu, the SwiGLU of Shazeer 2020. The
// three weights are packed and multiplies() their formats; x and what lies between are f32.
// Contract: the bits of gemm, gemm, gated and gemm, one after the other.
struct GatedMlpArgs {
  GemmArgs gate, up;  // with the same m, n, r, a and norm; no epilogue, c is not used
  Activation activation = Activation::kSilu;
  GemmArgs down;  // with the same m; r is the gate's n, a is not used
};

}  // namespace ashlar::kernels
