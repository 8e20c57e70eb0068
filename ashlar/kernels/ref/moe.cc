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

double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

std::vector<double> scores_of(const RouteRule& rule, const double* logits, int64_t experts) {
  if (rule.score == RouteScore::kSoftmax) return softmax(logits, experts);
  std::vector<double> scores(logits, logits + experts);
  for (double& score : scores) score = sigmoid(score);
  return scores;
}

// Indices by falling value; of equal values the lower index first.
std::vector<size_t> falling(const std::vector<double>& values) {
  std::vector<size_t> order(values.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(order, std::greater{}, [&](size_t i) { return values[i]; });
  return order;
}

// Which experts belong to the best groups, by what experts are chosen by.
std::vector<bool> in_best_groups(const RouteRule& rule, const std::vector<double>& choice) {
  const auto size = static_cast<int64_t>(choice.size()) / rule.groups;
  std::vector<double> groups;
  for (auto group = choice.begin(); group != choice.end(); group += size) {
    std::vector<double> best(group, group + size);
    std::ranges::sort(best, std::greater{});
    groups.push_back(std::accumulate(best.begin(), best.begin() + rule.group_best, 0.0));
  }
  const std::vector<size_t> order = falling(groups);
  std::vector<bool> in(choice.size(), false);
  for (int64_t i = 0; i < rule.top_groups; ++i) {
    const auto first = static_cast<int64_t>(order[static_cast<size_t>(i)]) * size;
    std::fill_n(in.begin() + first, size, true);
  }
  return in;
}

constexpr double kLeastSum = 1e-20;  // of sigmoids, which may all be 0

}  // namespace

void moe_route(const MoeRouteArgs& args) {
  const RouteRule& rule = args.rule;
  for (int64_t t = 0; t < args.rows; ++t) {
    const double* logits = args.logits + t * args.experts;
    const std::vector<double> scores = scores_of(rule, logits, args.experts);
    std::vector<double> choice(logits, logits + args.experts);
    if (rule.score == RouteScore::kSigmoid) choice = scores;
    for (size_t e = 0; args.bias != nullptr && e < choice.size(); ++e) choice[e] += args.bias[e];
    const std::vector<bool> in = in_best_groups(rule, choice);
    double sum = 0;
    int64_t c = 0;
    for (const size_t expert : falling(choice)) {
      if (!in[expert] || c == rule.top_k) continue;
      args.chosen[t * rule.top_k + c] = static_cast<int32_t>(expert);
      args.weights[t * rule.top_k + c++] = scores[expert];
      sum += scores[expert];
    }
    if (rule.score == RouteScore::kSigmoid) sum += kLeastSum;
    for (c = 0; c < rule.top_k; ++c) {
      double& weight = args.weights[t * rule.top_k + c];
      weight *= static_cast<double>(rule.scale) / (rule.renormalise ? sum : 1);
    }
  }
}

// Through w_c = scale s_c or scale s_c / sum of the chosen s, then through the scores s.
void moe_route_grad(const MoeRouteGradArgs& args) {
  const RouteRule& rule = args.forward.rule;
  const int64_t experts = args.forward.experts, k = rule.top_k;
  const auto scale = static_cast<double>(rule.scale);
  const bool softmax = rule.score == RouteScore::kSoftmax;
  for (int64_t t = 0; t < args.forward.rows; ++t) {
    const std::vector<double> s = scores_of(rule, args.forward.logits + t * experts, experts);
    const int32_t* chosen = args.forward.chosen + t * k;
    const double* d_weights = args.d_weights + t * k;
    double sum = softmax ? 0 : kLeastSum, weighted = 0;
    for (int64_t c = 0; c < k; ++c) {
      const double s_c = s[static_cast<size_t>(chosen[c])];
      sum += s_c;
      weighted += s_c * d_weights[c];
    }
    std::vector<double> d_s(s.size(), 0);
    for (int64_t c = 0; c < k; ++c) {
      d_s[static_cast<size_t>(chosen[c])] =
          scale * (rule.renormalise ? d_weights[c] / sum - weighted / (sum * sum) : d_weights[c]);
    }
    const double mean = std::inner_product(s.begin(), s.end(), d_s.begin(), 0.0);
    for (int64_t e = 0; e < experts; ++e) {
      const auto i = static_cast<size_t>(e);
      args.d_logits[t * experts + e] =
          softmax ? s[i] * (d_s[i] - mean) : s[i] * (1 - s[i]) * d_s[i];
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

void row_gate(const RowGateArgs& args) {
  for (int64_t i = 0; i < args.rows * args.width; ++i) {
    const double added = args.residual != nullptr ? args.residual[i] : 0;
    args.y[i] = sigmoid(args.gate[i / args.width]) * args.x[i] + added;
  }
}

void row_gate_grad(const RowGateGradArgs& args) {
  for (int64_t t = 0; t < args.rows; ++t) {
    const double s = sigmoid(args.gate[t]);
    args.d_gate[t] = 0;
    for (int64_t i = t * args.width; i < (t + 1) * args.width; ++i) {
      args.d_gate[t] += s * (1 - s) * args.d_y[i] * args.x[i];
      args.d_x[i] = s * args.d_y[i];
    }
  }
}

}  // namespace ashlar::kernels::ref
