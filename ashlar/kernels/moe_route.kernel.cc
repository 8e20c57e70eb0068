// The router of a mixture of experts: choice and weights of each token's experts, the load of the
// experts, and the gradients of both.
#include "ashlar/kernels/rows_parallel.h"
#include "ashlar/kernels/table.h"
#include "ashlar/kernels/vec_math.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {
namespace {

struct Softmax {
  float highest, sum;  // sum of exp(logit - highest)
};

// A NaN shows in the sum.
ASHLAR_INLINE Softmax softmax_of(const float* logits, int64_t experts) {
  float highest = -0x1.fffffep127f;
  for (int64_t e = 0; e < experts; ++e) highest = logits[e] > highest ? logits[e] : highest;
  Vec sum = zero();
  for_each_vec(experts, [&](int64_t i, auto count) {
    sum = sum + keep(exp(load(logits + i, count) - broadcast(highest)), count);
  });
  return {highest, reduce_add(sum)};
}

ASHLAR_INLINE Vec probability(Vec logits, const Softmax& softmax) {
  return exp(logits - broadcast(softmax.highest)) * broadcast(1 / softmax.sum);
}

ASHLAR_INLINE float probability(float logit, const Softmax& softmax) {
  return reduce_max(probability(broadcast(logit), softmax));
}

// The expert that follows (logit, expert) in descending order of logits, ascending of experts;
// `otherwise` where NaNs leave none.
ASHLAR_INLINE int32_t next_choice(const float* logits, int64_t experts, float logit, int64_t expert,
                                  int64_t otherwise) {
  int64_t best = -1;
  for (int64_t e = 0; e < experts; ++e) {
    const bool follows = logits[e] < logit || (logits[e] == logit && e > expert);
    if (follows && (best < 0 || logits[e] > logits[best])) best = e;
  }
  return static_cast<int32_t>(best < 0 ? otherwise : best);
}

ASHLAR_INLINE void route_row(const MoeRouteArgs& args, int64_t t) {
  const float* logits = args.logits + t * args.experts;
  float* weights = args.weights + t * args.top_k;
  int32_t* chosen = args.chosen + t * args.top_k;
  const Softmax softmax = softmax_of(logits, args.experts);
  float logit = __builtin_inff(), sum = 0;
  int64_t expert = -1;
  for (int64_t c = 0; c < args.top_k; ++c) {
    expert = chosen[c] = next_choice(logits, args.experts, logit, expert, c);
    logit = logits[expert];
    weights[c] = probability(logit, softmax);
    sum += weights[c];
  }
  if (!args.renormalise) return;
  for (int64_t c = 0; c < args.top_k; ++c) weights[c] /= sum;
}

void moe_route(const MoeRouteArgs& args, const Team& team) {
  parallel_rows(team, args.rows, args.experts * args.top_k, [&](int64_t t) { route_row(args, t); });
}

// With w the weights and g = d_w - sum(w d_w): d_logit of a chosen expert is w g, of another one
// -p sum(w d_w), which is there only where p and w are one softmax.
ASHLAR_INLINE void route_grad_row(const MoeRouteGradArgs& args, int64_t t) {
  const MoeRouteArgs& forward = args.forward;
  const int64_t k = forward.top_k;
  const float* logits = forward.logits + t * forward.experts;
  const float* weights = forward.weights + t * k;
  const float* d_weights = args.d_weights + t * k;
  float* d_logits = args.d_logits + t * forward.experts;
  float mean = 0;
  for (int64_t c = 0; c < k; ++c) mean += weights[c] * d_weights[c];
  if (forward.renormalise) {
    for_each_vec(forward.experts,
                 [&](int64_t i, auto count) { store(d_logits + i, zero(), count); });
  } else {
    const Softmax softmax = softmax_of(logits, forward.experts);
    for_each_vec(forward.experts, [&](int64_t i, auto count) {
      store(d_logits + i, probability(load(logits + i, count), softmax) * broadcast(-mean), count);
    });
  }
  for (int64_t c = 0; c < k; ++c) {
    d_logits[forward.chosen[t * k + c]] = weights[c] * (d_weights[c] - mean);
  }
}

void moe_route_grad(const MoeRouteGradArgs& args, const Team& team) {
  parallel_rows(team, args.forward.rows, args.forward.experts,
                [&](int64_t t) { route_grad_row(args, t); });
}

// One thread: a row is a few vectors, next to the products of its experts.
void moe_load(const MoeLoadArgs& args, const Team&) {
  double* counts = args.load;
  double* sums = args.load + args.experts;
  for (int64_t i = 0; i < 2 * args.experts; ++i) {
    args.load[i] = args.so_far != nullptr ? args.so_far[i] : 0;
  }
  for (int64_t t = 0; t < args.rows; ++t) {
    const float* logits = args.logits + t * args.experts;
    const Softmax softmax = softmax_of(logits, args.experts);
    for_each_vec(args.experts, [&](int64_t i, auto count) {
      float p[kLanes];
      store(p, probability(load(logits + i, count), softmax));
      const int64_t end = args.experts - i < kLanes ? args.experts - i : kLanes;
      for (int64_t j = 0; j < end; ++j) sums[i + j] += static_cast<double>(p[j]);
    });
    for (int64_t c = 0; c < args.top_k; ++c) counts[args.chosen[t * args.top_k + c]] += 1;
  }
}

ASHLAR_INLINE void load_grad_row(const MoeLoadGradArgs& args, int64_t t) {
  const float* logits = args.logits + t * args.experts;
  const double* d_sums = args.d_load + args.experts;
  float* d_logits = args.d_logits + t * args.experts;
  const Softmax softmax = softmax_of(logits, args.experts);
  float mean = 0;
  for (int64_t e = 0; e < args.experts; ++e) {
    d_logits[e] = probability(logits[e], softmax);
    mean += d_logits[e] * static_cast<float>(d_sums[e]);
  }
  for (int64_t e = 0; e < args.experts; ++e) d_logits[e] *= static_cast<float>(d_sums[e]) - mean;
}

void moe_load_grad(const MoeLoadGradArgs& args, const Team& team) {
  parallel_rows(team, args.rows, args.experts * kLanes, [&](int64_t t) { load_grad_row(args, t); });
}

}  // namespace

void fill_moe_route(KernelTable& table) {
  table.moe_route = moe_route;
  table.moe_route_grad = moe_route_grad;
  table.moe_load = moe_load;
  table.moe_load_grad = moe_load_grad;
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
