// Norms in double, forward and backward: the oracle of ../norm.kernel.cc and the engine of fp64
// runs. Fields mean what they mean in ../args.h.
#pragma once

#include <cstdint>

namespace ashlar::kernels::ref {

struct NormArgs {
  int64_t rows = 0, width = 0, weight_rows = 1;
  double eps = 1e-5, weight_offset = 0;
  const double* x = nullptr;       // [T,C]
  const double* weight = nullptr;  // [weight_rows,C]
  const double* bias = nullptr;    // the same; may be null
  double* y = nullptr;             // [T,C]
  double* rstd = nullptr;          // [T]; may be null
  double* mean = nullptr;          // [T], layer norm only; may be null
  const double* squares = nullptr;
  int64_t whole = 0;
};
struct NormGradArgs {
  int64_t rows = 0, width = 0, weight_rows = 1;
  double weight_offset = 0;
  const double* x = nullptr;
  const double* weight = nullptr;
  const double* rstd = nullptr;
  const double* mean = nullptr;  // null: rms
  const double* d_y = nullptr;
  const double* residual_grad = nullptr;  // [T,C]; may be null
  double* d_x = nullptr;                  // null: skip
  const double* products = nullptr;
  int64_t whole = 0;
};
struct RowDotArgs {
  int64_t rows = 0, width = 0;
  double weight_offset = 0;
  const double* a = nullptr;
  const double* b = nullptr;
  const double* weight = nullptr;
  double* sums = nullptr;
};
struct NormWeightGradArgs {
  int64_t rows = 0, width = 0, weight_rows = 1;
  const double* x = nullptr;
  const double* rstd = nullptr;
  const double* mean = nullptr;  // null: rms
  const double* d_y = nullptr;
  double* d_weight = nullptr;  // [weight_rows,C]
  double* d_bias = nullptr;    // the same; may be null
  bool accumulate = false;
};

// y = x * rsqrt(mean(x^2) + eps) * w (Zhang and Sennrich 2019), w = weight + weight_offset.
void rms_norm(const NormArgs& args);
// y = (x - mean) * rsqrt(var + eps) * w + bias (Ba, Kiros and Hinton 2016).
void layer_norm(const NormArgs& args);
void norm_grad(const NormGradArgs& args);
void norm_weight_grad(const NormWeightGradArgs& args);
void row_dot(const RowDotArgs& args);

}  // namespace ashlar::kernels::ref
