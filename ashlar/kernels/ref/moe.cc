#include "ashlar/kernels/ref/moe.h"

#include <algorithm>
#include <cmath>
#include <numeric>
#include <vector>

namespace ashlar::kernels::ref {
namespace {

std::vector<double> softmax(const double* logits, int64_t experts) {
  std::vector<double> p(logits, logits + experts);
  const double highest = *std::ranges::max_element(p);
  double sum = 0;
  for (double& value : p) sum += value = std::exp(value - highest);
  for (double& value : p) value /= sum;
  return p;
}

}  // namespace

void moe_route(const MoeRouteArgs& args) {
  for (int64_t t = 0; t < args.rows; ++t) {
    const double* logits = args.logits + t * args.experts;
    const std::vector<double> p = softmax(logits, args.experts);
    std::vector<int32_t> order(p.size());
    std::iota(order.begin(), order.end(), 0);
    std::ranges::stable_sort(order, std::greater{}, [&](int32_t e) { return logits[e]; });
    double chosen = 0;
    for (int64_t c = 0; c < args.top_k; ++c)
      chosen += p[static_cast<size_t>(order[static_cast<size_t>(c)])];
    for (int64_t c = 0; c < args.top_k; ++c) {
      const int32_t expert = order[static_cast<size_t>(c)];
      args.chosen[t * args.top_k + c] = expert;
      args.weights[t * args.top_k + c] =
          p[static_cast<size_t>(expert)] / (args.renormalise ? chosen : 1);
    }
  }
}

// Through w_c = p_c or p_c / sum of the chosen p, then through the softmax.
void moe_route_grad(const MoeRouteGradArgs& args) {
  const MoeRouteArgs& forward = args.forward;
  const int64_t experts = forward.experts, k = forward.top_k;
  for (int64_t t = 0; t < forward.rows; ++t) {
    const std::vector<double> p = softmax(forward.logits + t * experts, experts);
    const int32_t* chosen = forward.chosen + t * k;
    const double* d_weights = args.d_weights + t * k;
    double sum = 0, weighted = 0;
    for (int64_t c = 0; c < k; ++c) {
      const double p_c = p[static_cast<size_t>(chosen[c])];
      sum += p_c;
      weighted += p_c * d_weights[c];
    }
    std::vector<double> d_p(p.size(), 0);
    for (int64_t c = 0; c < k; ++c) {
      d_p[static_cast<size_t>(chosen[c])] =
          forward.renormalise ? d_weights[c] / sum - weighted / (sum * sum) : d_weights[c];
    }
    const double mean = std::inner_product(p.begin(), p.end(), d_p.begin(), 0.0);
    for (int64_t e = 0; e < experts; ++e) {
      const auto i = static_cast<size_t>(e);
      args.d_logits[t * experts + e] = p[i] * (d_p[i] - mean);
    }
  }
}

void moe_load(const MoeLoadArgs& args) {
  for (int64_t i = 0; i < 2 * args.experts; ++i) {
    args.load[i] = args.so_far != nullptr ? args.so_far[i] : 0;
  }
  for (int64_t t = 0; t < args.rows; ++t) {
    const std::vector<double> p = softmax(args.logits + t * args.experts, args.experts);
    for (int64_t e = 0; e < args.experts; ++e) {
      args.load[args.experts + e] += p[static_cast<size_t>(e)];
    }
    for (int64_t c = 0; c < args.top_k; ++c) args.load[args.chosen[t * args.top_k + c]] += 1;
  }
}

void moe_load_grad(const MoeLoadGradArgs& args) {
  const double* d_sums = args.d_load + args.experts;
  for (int64_t t = 0; t < args.rows; ++t) {
    const std::vector<double> p = softmax(args.logits + t * args.experts, args.experts);
    const double mean = std::inner_product(p.begin(), p.end(), d_sums, 0.0);
    for (int64_t e = 0; e < args.experts; ++e) {
      args.d_logits[t * args.experts + e] = p[static_cast<size_t>(e)] * (d_sums[e] - mean);
    }
  }
}

void moe_count(const MoeAssignSpec& spec, const int32_t* chosen, const double* weights,
               int32_t* counts) {
  std::fill_n(counts, static_cast<int64_t>(spec.runs.size()) * spec.top_k * spec.experts, 0);
  for (size_t run = 0; run < spec.runs.size(); ++run) {
    const auto [first, local, count] = spec.runs[run];
    for (int64_t pair = local * spec.top_k; pair < (local + count) * spec.top_k; ++pair) {
      const int64_t c = pair % spec.top_k, token = first + pair / spec.top_k - local;
      if (spec.random_second && c == 1 && !keeps_second(spec, token, weights[pair])) continue;
      ++counts[(static_cast<int64_t>(run) * spec.top_k + c) * spec.experts + chosen[pair]];
    }
  }
}

void moe_assign(const MoeAssignSpec& spec, const int32_t* chosen, const double* weights,
                const MoeAssignment& out) {
  const int64_t k = spec.top_k, pairs = spec.tokens * k;
  const std::vector<TokenRun> all = {{0, 0, spec.tokens}};
  const auto runs = spec.runs.empty() ? std::span<const TokenRun>(all) : spec.runs;
  std::vector<bool> wants(static_cast<size_t>(pairs), true);
  const auto each = [&](const auto& f) {  // f(run, choice, pair), by choice, then token
    for (int64_t c = 0; c < k; ++c) {
      for (size_t run = 0; run < runs.size(); ++run) {
        for (int64_t i = 0; i < runs[run].count; ++i) f(run, c, (runs[run].local + i) * k + c);
      }
    }
  };
  each([&](size_t run, int64_t c, int64_t pair) {
    const int64_t token = runs[run].first + pair / k - runs[run].local;
    if (spec.random_second && c == 1 && !keeps_second(spec, token, weights[pair])) {
      wants[static_cast<size_t>(pair)] = false;
    }
  });
  std::vector<bool> kept = wants;
  each([&](size_t run, int64_t c, int64_t pair) {
    if (spec.capacity == 0) return;
    int64_t earlier = 0;
    each([&](size_t other_run, int64_t other_c, int64_t other) {
      const bool counted = spec.before == nullptr
                               ? other_c < c || (other_c == c && other < pair)
                               : other_run == run && other_c == c && other < pair;
      earlier += counted && chosen[other] == chosen[pair] && wants[static_cast<size_t>(other)];
    });
    if (spec.before != nullptr) {
      earlier += spec.before[(static_cast<int64_t>(run) * k + c) * spec.experts + chosen[pair]];
    }
    if (earlier >= spec.capacity) kept[static_cast<size_t>(pair)] = false;
  });
  std::fill_n(out.slots, pairs, -1);
  std::fill_n(out.sources, pairs, -1);
  int32_t row = 0;
  for (int32_t expert = 0; expert < spec.experts; ++expert) {
    out.offsets[expert] = row;
    for (int64_t pair = 0; pair < pairs; ++pair) {
      if (chosen[pair] != expert || !kept[static_cast<size_t>(pair)]) continue;
      out.slots[pair] = row;
      out.sources[row++] = static_cast<int32_t>(pair);
    }
  }
  out.offsets[spec.experts] = row;
}

void moe_dispatch(const MoeRowsArgs& args) {
  for (int64_t row = 0; row < args.rows; ++row) {
    const int64_t pair = args.sources[row];
    for (int64_t i = 0; i < args.width; ++i) {
      double& y = args.y[row * args.width + i];
      y = 0;
      if (pair < 0) continue;
      const double weight = args.weights != nullptr ? args.weights[pair] : 1;
      y = weight * args.x[pair / args.top_k * args.width + i];
    }
  }
}

void moe_combine(const MoeRowsArgs& args) {
  for (int64_t t = 0; t < args.tokens; ++t) {
    for (int64_t i = 0; i < args.width; ++i) {
      double sum = args.residual != nullptr ? args.residual[t * args.width + i] : 0;
      for (int64_t pair = t * args.top_k; pair < (t + 1) * args.top_k; ++pair) {
        if (args.slots[pair] < 0) continue;
        const double weight = args.weights != nullptr ? args.weights[pair] : 1;
        sum += weight * args.x[args.slots[pair] * args.width + i];
      }
      args.y[t * args.width + i] = sum;
    }
  }
}

void moe_weight_grad(const MoeRowsArgs& args) {
  for (int64_t pair = 0; pair < args.tokens * args.top_k; ++pair) {
    const int64_t row = args.slots[pair];
    double sum = 0;
    for (int64_t i = 0; row >= 0 && i < args.width; ++i) {
      sum += args.d_y[pair / args.top_k * args.width + i] * args.x[row * args.width + i];
    }
    args.y[pair] = sum;
  }
}

}  // namespace ashlar::kernels::ref
