#include "ashlar/kernels/ref/loss.h"

#include <cmath>
#include <limits>

namespace ashlar::kernels::ref {

void cross_entropy(const CrossEntropyArgs& args) {
  for (int64_t t = 0; t < args.rows; ++t) {
    double* logits = args.logits + t * args.logits_stride;
    const int32_t target = args.targets[t];

    // Finite even when every logit is -inf, so that exp(logit - highest) is 0 and not NaN.
    double highest = std::numeric_limits<double>::lowest();
    for (int64_t v = 0; v < args.vocab; ++v) highest = logits[v] > highest ? logits[v] : highest;
    double sum = 0;
    for (int64_t v = 0; v < args.vocab; ++v) sum += std::exp(logits[v] - highest);
    const double lse = highest + std::log(sum);

    args.loss[t] = target >= 0 ? lse - logits[target] : 0;
    if (args.lse != nullptr) args.lse[t] = lse;
    if (!args.gradient) continue;
    for (int64_t v = 0; v < args.vocab; ++v) {
      const double one_hot = v == target ? 1 : 0;
      logits[v] = target >= 0 ? (std::exp(logits[v] - lse) - one_hot) * args.scale : 0;
    }
  }
}

}  // namespace ashlar::kernels::ref
