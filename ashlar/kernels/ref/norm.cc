#include "ashlar/kernels/ref/norm.h"

#include <cmath>

namespace ashlar::kernels::ref {

void rms_norm(const NormArgs& args) {
  const double width = static_cast<double>(args.squares != nullptr ? args.whole : args.width);
  for (int64_t t = 0; t < args.rows; ++t) {
    const double* x = args.x + t * args.width;
    double* y = args.y + t * args.width;
    double squares = args.squares != nullptr ? args.squares[t] : 0;
    for (int64_t c = 0; c < args.width && args.squares == nullptr; ++c) squares += x[c] * x[c];
    const double rstd = 1 / std::sqrt(squares / width + args.eps);
    const double* weight = args.weight + t % args.weight_rows * args.width;
    for (int64_t c = 0; c < args.width; ++c) y[c] = x[c] * rstd * (weight[c] + args.weight_offset);
    if (args.rstd != nullptr) args.rstd[t] = rstd;
  }
}

void layer_norm(const NormArgs& args) {
  const double width = static_cast<double>(args.width);
  for (int64_t t = 0; t < args.rows; ++t) {
    const double* x = args.x + t * args.width;
    double* y = args.y + t * args.width;
    double mean = 0;
    for (int64_t c = 0; c < args.width; ++c) mean += x[c];
    mean /= width;
    double variance = 0;
    for (int64_t c = 0; c < args.width; ++c) variance += (x[c] - mean) * (x[c] - mean);
    variance /= width;
    const double rstd = 1 / std::sqrt(variance + args.eps);
    const int64_t row = t % args.weight_rows * args.width;
    for (int64_t c = 0; c < args.width; ++c) {
      const double bias = args.bias != nullptr ? args.bias[row + c] : 0;
      y[c] = (x[c] - mean) * rstd * (args.weight[row + c] + args.weight_offset) + bias;
    }
    if (args.rstd != nullptr) args.rstd[t] = rstd;
    if (args.mean != nullptr) args.mean[t] = mean;
  }
}

// With z = (x - mean) * rstd and g = d_y * w:
//   d_x = rstd * (g - mean(g) - z * mean(g * z)); the term mean(g) belongs to the layer norm only.
void norm_grad(const NormGradArgs& args) {
  if (args.d_x == nullptr) return;
  const double width = static_cast<double>(args.width);
  const double whole = static_cast<double>(args.whole);
  for (int64_t t = 0; t < args.rows; ++t) {
    const double* x = args.x + t * args.width;
    const double* d_y = args.d_y + t * args.width;
    const double mean = args.mean != nullptr ? args.mean[t] : 0;
    const double rstd = args.rstd[t];
    const double* weight = args.weight + t % args.weight_rows * args.width;
    double mean_g = 0, mean_gz = 0;
    for (int64_t c = 0; c < args.width; ++c) {
      const double g = d_y[c] * (weight[c] + args.weight_offset);
      mean_g += g / width;
      mean_gz += g * (x[c] - mean) * rstd / width;
    }
    if (args.mean == nullptr) mean_g = 0;
    if (args.products != nullptr) mean_gz = args.products[t] * rstd / whole;
    for (int64_t c = 0; c < args.width; ++c) {
      const int64_t i = t * args.width + c;
      const double g = d_y[c] * (weight[c] + args.weight_offset);
      const double z = (x[c] - mean) * rstd;
      const double residual = args.residual_grad != nullptr ? args.residual_grad[i] : 0;
      args.d_x[i] = rstd * (g - mean_g - z * mean_gz) + residual;
    }
  }
}

void norm_weight_grad(const NormWeightGradArgs& args) {
  for (int64_t i = 0; i < args.weight_rows * args.width; ++i) {
    const int64_t first = i / args.width, c = i % args.width;
    double weight_sum = 0, bias_sum = 0;
    for (int64_t t = first; t < args.rows; t += args.weight_rows) {
      const double mean = args.mean != nullptr ? args.mean[t] : 0;
      const double z = (args.x[t * args.width + c] - mean) * args.rstd[t];
      weight_sum += args.d_y[t * args.width + c] * z;
      bias_sum += args.d_y[t * args.width + c];
    }
    args.d_weight[i] = weight_sum + (args.accumulate ? args.d_weight[i] : 0);
    if (args.d_bias != nullptr) {
      args.d_bias[i] = bias_sum + (args.accumulate ? args.d_bias[i] : 0);
    }
  }
}

void row_dot(const RowDotArgs& args) {
  for (int64_t t = 0; t < args.rows; ++t) {
    double sum = 0;
    for (int64_t c = 0; c < args.width; ++c) {
      const double weight = args.weight != nullptr ? args.weight[c] + args.weight_offset : 1;
      sum += args.a[t * args.width + c] * args.b[t * args.width + c] * weight;
    }
    args.sums[t] = sum;
  }
}

}  // namespace ashlar::kernels::ref
