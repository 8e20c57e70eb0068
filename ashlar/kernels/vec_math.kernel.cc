// The functions of vec_math.h over arrays: kernels inline them, this is how a test calls them.
#include "ashlar/kernels/vec_math.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

template <typename F>
ASHLAR_INLINE void map(const float* x, float* y, int64_t elements, F f) {
  for (int64_t i = 0; i < elements; i += kLanes) {
    const int64_t count = elements - i < kLanes ? elements - i : kLanes;
    store(y + i, f(load(x + i, count)), count);
  }
}

// function: 0 exp, 1 log, 2 tanh, 3 erf, 4 sigmoid.
void map_vec_math(int function, const float* x, float* y, int64_t elements) {
  if (function == 0) map(x, y, elements, [](Vec v) { return exp(v); });
  if (function == 1) map(x, y, elements, [](Vec v) { return log(v); });
  if (function == 2) map(x, y, elements, [](Vec v) { return tanh(v); });
  if (function == 3) map(x, y, elements, [](Vec v) { return erf(v); });
  if (function == 4) map(x, y, elements, [](Vec v) { return sigmoid(v); });
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
