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

ASHLAR_INLINE float sigmoid_of(float logit) { return reduce_max(sigmoid(broadcast(logit))); }

// The sum of the `count` best of a group; expert by expert, since count is 1 or 2.
ASHLAR_INLINE float best_of_group(const float* choice, int64_t experts, int64_t count) {
  float logit = __builtin_inff(), sum = 0;
  int64_t expert = -1;
  for (int64_t i = 0; i < count; ++i) {
    expert = next_choice(choice, experts, logit, expert, i);
    logit = choice[expert];
    sum += logit;
  }
  return sum;
}

// Experts of other groups are left with minus infinity.
ASHLAR_INLINE void keep_best_groups(const RouteRule& rule, int64_t experts, float* choice,
                                    float* groups) {
  const int64_t size = experts / rule.groups;
  for (int64_t g = 0; g < rule.groups; ++g) {
    groups[g] = best_of_group(choice + g * size, size, rule.group_best);
  }
  for (int64_t g = 0; g < rule.groups; ++g) {
    int64_t better = 0;
    for (int64_t other = 0; other < rule.groups; ++other) {
      better += groups[other] > groups[g] || (groups[other] == groups[g] && other < g);
    }
    if (better < rule.top_groups) continue;
    for (int64_t e = g * size; e < (g + 1) * size; ++e) choice[e] = -__builtin_inff();
  }
}

// What experts are chosen by: the logits themselves, or a row in `memory`.
ASHLAR_INLINE const float* choice_of(const MoeRouteArgs& args, const float* logits, float* memory) {
  const RouteRule& rule = args.rule;
  const bool sigmoids = rule.score == RouteScore::kSigmoid;
  if (!sigmoids && rule.groups == 1) return logits;
  for_each_vec(args.experts, [&](int64_t i, auto count) {
    Vec x = load(logits + i, count);
    if (sigmoids) x = sigmoid(x);
    if (args.bias != nullptr) x = x + load(args.bias + i, count);
    store(memory + i, x, count);
  });
  if (rule.groups > 1) keep_best_groups(rule, args.experts, memory, memory + args.experts);
  return memory;
}

// Sigmoids may all be 0.
ASHLAR_INLINE float least_sum(const RouteRule& rule) {
  return rule.score == RouteScore::kSigmoid ? 1e-20f : 0;
}

ASHLAR_INLINE void route_row(const MoeRouteArgs& args, int64_t t, float* memory) {
  const RouteRule& rule = args.rule;
  const bool sigmoids = rule.score == RouteScore::kSigmoid;
  const float* logits = args.logits + t * args.experts;
  const float* choice = choice_of(args, logits, memory);
  float* weights = args.weights + t * rule.top_k;
  int32_t* chosen = args.chosen + t * rule.top_k;
  const Softmax softmax = sigmoids ? Softmax{0, 1} : softmax_of(logits, args.experts);
  float by = __builtin_inff(), sum = 0;
  int64_t expert = -1;
  for (int64_t c = 0; c < rule.top_k; ++c) {
    expert = chosen[c] = next_choice(choice, args.experts, by, expert, c);
    by = choice[expert];
    weights[c] = sigmoids ? sigmoid_of(logits[expert]) : probability(logits[expert], softmax);
    sum += weights[c];
  }
  const float divisor = rule.renormalise ? sum + least_sum(rule) : 1;
  for (int64_t c = 0; c < rule.top_k; ++c) weights[c] = weights[c] / divisor * rule.scale;
}

void moe_route(const MoeRouteArgs& args, const Team& team) {
  constexpr int64_t kRows = 64;  // of a task
  const int64_t bytes = moe_route_thread_bytes(args.rule, args.experts);
  parallel_for(team, (args.rows + kRows - 1) / kRows, [&](int64_t task, int thread) {
    float* memory = reinterpret_cast<float*>(team.scratch + thread * bytes);
    const int64_t end = (task + 1) * kRows < args.rows ? (task + 1) * kRows : args.rows;
    for (int64_t t = task * kRows; t < end; ++t) route_row(args, t, memory);
  });
}

// With w the weights, s their scores and g = sum(w d_w): the gradient of a chosen expert's score is
//   scale d_w, or (scale d_w - g) / sum(s) where weights are divided by that sum;
// and d_logit = s (d_s - sum(s d_s)) through the softmax, s (1 - s) d_s through the sigmoid.
ASHLAR_INLINE void softmax_grad_row(const MoeRouteGradArgs& args, int64_t t, float mean) {
  const MoeRouteArgs& forward = args.forward;
  const int64_t k = forward.rule.top_k;
  const float* logits = forward.logits + t * forward.experts;
  const float* weights = forward.weights + t * k;
  float* d_logits = args.d_logits + t * forward.experts;
  if (!forward.rule.renormalise) {  // then p and w are one softmax
    const Softmax softmax = softmax_of(logits, forward.experts);
    for_each_vec(forward.experts, [&](int64_t i, auto count) {
      store(d_logits + i, probability(load(logits + i, count), softmax) * broadcast(-mean), count);
    });
  }
  for (int64_t c = 0; c < k; ++c) {
    const float share = mean / forward.rule.scale;
    d_logits[forward.chosen[t * k + c]] = weights[c] * (args.d_weights[t * k + c] - share);
  }
}

ASHLAR_INLINE void sigmoid_grad_row(const MoeRouteGradArgs& args, int64_t t, float mean) {
  const MoeRouteArgs& forward = args.forward;
  const RouteRule& rule = forward.rule;
  const int32_t* chosen = forward.chosen + t * rule.top_k;
  const float* logits = forward.logits + t * forward.experts;
  float* d_logits = args.d_logits + t * forward.experts;
  float sum = least_sum(rule);
  for (int64_t c = 0; c < rule.top_k; ++c) sum += sigmoid_of(logits[chosen[c]]);
  for (int64_t c = 0; c < rule.top_k; ++c) {
    const float s = sigmoid_of(logits[chosen[c]]);
    const float d_w = rule.scale * args.d_weights[t * rule.top_k + c];
    d_logits[chosen[c]] = s * (1 - s) * (rule.renormalise ? (d_w - mean) / sum : d_w);
  }
}

ASHLAR_INLINE void route_grad_row(const MoeRouteGradArgs& args, int64_t t) {
  const MoeRouteArgs& forward = args.forward;
  const int64_t k = forward.rule.top_k;
  float mean = 0;
  for (int64_t c = 0; c < k; ++c) mean += forward.weights[t * k + c] * args.d_weights[t * k + c];
  for_each_vec(forward.experts, [&](int64_t i, auto count) {
    store(args.d_logits + t * forward.experts + i, zero(), count);
  });
  if (forward.rule.score == RouteScore::kSoftmax) {
    softmax_grad_row(args, t, mean);
  } else {
    sigmoid_grad_row(args, t, mean);
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
