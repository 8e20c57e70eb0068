#include "ashlar/kernels/ref/rope.h"

namespace ashlar::kernels::ref {

void rope(const RopeArgs& args) {
  const int64_t half = args.rotary_dim / 2;
  for (int64_t t = 0; t < args.tokens; ++t) {
    const double* cosines = args.table + args.positions[t] * args.rotary_dim;
    const double* sines = cosines + half;
    for (int64_t h = 0; h < args.heads; ++h) {
      const double* x = args.x + t * args.x_stride + h * args.head_dim;
      double* y = args.y + (t * args.heads + h) * args.head_dim;
      for (int64_t i = 0; i < half; ++i) {
        const int64_t first = args.rotary_begin + (args.interleaved ? 2 * i : i);
        const int64_t second = first + (args.interleaved ? 1 : half);
        const double cosine = cosines[i], sine = args.inverse ? -sines[i] : sines[i];
        const double a = x[first], b = x[second];
        y[first] = a * cosine - b * sine;
        y[second] = b * cosine + a * sine;
      }
      for (int64_t d = 0; d < args.head_dim; ++d) {
        const bool rotates = d >= args.rotary_begin && d < args.rotary_begin + args.rotary_dim;
        if (!rotates) y[d] = x[d];
      }
    }
  }
}

}  // namespace ashlar::kernels::ref
