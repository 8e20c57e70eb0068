#include "ashlar/kernels/ref/optimizer.h"

#include <cmath>

namespace ashlar::kernels::ref {

void adamw(const AdamWArgs& args) {
  for (int64_t i = 0; i < args.elements; ++i) {
    const double g = args.grad[i] * args.grad_scale;
    args.m[i] = args.beta1 * args.m[i] + (1 - args.beta1) * g;
    args.v[i] = args.beta2 * args.v[i] + (1 - args.beta2) * g * g;
    const double m_hat = args.m[i] / args.bias_correction1;
    const double v_hat = args.v[i] / args.bias_correction2;
    const double step = m_hat / (std::sqrt(v_hat) + args.eps) + args.weight_decay * args.param[i];
    args.param[i] -= args.lr * step;
  }
}

void sum_squares(const SumSquaresArgs& args) {
  double sum = 0;
  for (int64_t i = 0; i < args.elements; ++i) sum += args.x[i] * args.x[i];
  *args.sum = sum;
}

}  // namespace ashlar::kernels::ref
