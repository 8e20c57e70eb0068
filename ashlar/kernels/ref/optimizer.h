// AdamW and the sum of squares in double: the oracle of ../optimizer.kernel.cc and the engine of
// fp64 runs. Fields mean what they mean in ../args.h.
#pragma once

#include <cstdint>

namespace ashlar::kernels::ref {

struct AdamWArgs {
  int64_t elements = 0;
  double* param = nullptr;
  double* m = nullptr;
  double* v = nullptr;
  const double* grad = nullptr;
  double grad_scale = 1;
  double lr = 0, beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0;
  double bias_correction1 = 1, bias_correction2 = 1;  // 1 - beta^step
};
struct SumSquaresArgs {
  int64_t elements = 0;
  const double* x = nullptr;
  double* sum = nullptr;
};

// Loshchilov and Hutter 2019, algorithm 2; both terms are scaled by the learning rate.
void adamw(const AdamWArgs& args);
void sum_squares(const SumSquaresArgs& args);

}  // namespace ashlar::kernels::ref
