#include "ashlar/kernels/ref/loss.h"

#include <cmath>
#include <limits>

namespace ashlar::kernels::ref {
namespace {

// Finite even when every logit is -inf, so that exp(logit - highest) is 0 and not NaN.
double highest_of(const double* logits, int64_t vocab) {
  double highest = std::numeric_limits<double>::lowest();
  for (int64_t v = 0; v < vocab; ++v) highest = logits[v] > highest ? logits[v] : highest;
  return highest;
}

double sum_of_exp(const double* logits, int64_t vocab, double highest) {
  double sum = 0;
  for (int64_t v = 0; v < vocab; ++v) sum += std::exp(logits[v] - highest);
  return sum;
}

void cap(double* logits, int64_t vocab, double softcap) {
  if (softcap == 0) return;
  for (int64_t v = 0; v < vocab; ++v) logits[v] = softcap * std::tanh(logits[v] / softcap);
}

// d capped / d logit, from the capped logit.
double cap_slope(double capped, double softcap) {
  const double t = softcap == 0 ? 0 : capped / softcap;
  return 1 - t * t;
}

}  // namespace

void cross_entropy(const CrossEntropyArgs& args) {
  for (int64_t t = 0; t < args.rows; ++t) {
    double* logits = args.logits + t * args.logits_stride;
    const int32_t target = args.targets[t];
    cap(logits, args.vocab, args.softcap);
    const double highest = highest_of(logits, args.vocab);
    const double lse = highest + std::log(sum_of_exp(logits, args.vocab, highest));

    args.loss[t] = target >= 0 ? lse - logits[target] : 0;
    if (args.lse != nullptr) args.lse[t] = lse;
    if (!args.gradient) continue;
    for (int64_t v = 0; v < args.vocab; ++v) {
      const double one_hot = v == target ? 1 : 0;
      const double slope = cap_slope(logits[v], args.softcap);
      logits[v] = target >= 0 ? (std::exp(logits[v] - lse) - one_hot) * args.scale * slope : 0;
    }
  }
}

void softmax_slice(const CrossEntropySliceArgs& args) {
  for (int64_t t = 0; t < args.rows; ++t) {
    double* logits = args.logits + t * args.logits_stride;
    cap(logits, args.vocab, args.softcap);
    args.highest[t] = highest_of(logits, args.vocab);
    args.sum[t] = sum_of_exp(logits, args.vocab, args.highest[t]);
  }
}

void rescale_slice(const CrossEntropySliceArgs& args) {
  for (int64_t t = 0; t < args.rows; ++t) {
    const double highest = args.highest_of_all[t];
    const int64_t target = args.targets[t] - args.first;
    const bool here = args.targets[t] >= 0 && target >= 0 && target < args.vocab;
    args.sum[t] *= std::exp(args.highest[t] - highest);
    args.target[t] = here ? args.logits[t * args.logits_stride + target] - highest : 0;
  }
}

void cross_entropy_slice(const CrossEntropySliceArgs& args) {
  for (int64_t t = 0; t < args.rows; ++t) {
    double* logits = args.logits + t * args.logits_stride;
    const bool counted = args.targets[t] >= 0;
    args.loss[t] = counted ? std::log(args.sum[t]) - args.target[t] : 0;
    if (!args.gradient) continue;
    for (int64_t v = 0; v < args.vocab; ++v) {
      const double one_hot = v + args.first == args.targets[t] ? 1 : 0;
      const double softmax = std::exp(logits[v] - args.highest_of_all[t]) / args.sum[t];
      const double slope = cap_slope(logits[v], args.softcap);
      logits[v] = counted ? (softmax - one_hot) * args.scale * slope : 0;
    }
  }
}

}  // namespace ashlar::kernels::ref
