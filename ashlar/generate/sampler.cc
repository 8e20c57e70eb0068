#include "ashlar/generate/sampler.h"

#include "ashlar/base/error.h"
#include "ashlar/base/philox.h"

#include <algorithm>
#include <cmath>
#include <limits>

namespace ashlar::generate {
namespace {

// Where the largest logit is; the lowest id of equal ones.
size_t find_largest(std::span<const float> logits) {
  size_t best = 0;
  float largest = -std::numeric_limits<float>::infinity();
  for (size_t i = 0; i < logits.size(); ++i) {
    ASHLAR_CHECK(!std::isnan(logits[i]), "sampling: the logit of token {} is NaN", i);
    if (logits[i] > largest) {
      largest = logits[i];
      best = i;
    }
  }
  ASHLAR_CHECK(std::isfinite(largest), "sampling: the largest logit is {}, of token {}", largest,
               best);
  return best;
}

// Uniform in [0, 1), 53 bits.
double draw(const SamplingParams& params, uint64_t index) {
  const PhiloxBlock words = RandomStream(params.seed, "sampler", params.stream).block(index);
  const uint64_t bits = (uint64_t{words[0]} << 32) | words[1];
  return static_cast<double>(bits >> 11) * 0x1.0p-53;
}

void check_range(const char* field, double value, double low, double high) {
  ASHLAR_CHECK(value >= low && value <= high, "{}: {} is not between {} and {}", field, value, low,
               high);
}

}  // namespace

void SamplingParams::validate(int64_t vocab) const {
  constexpr double kHuge = std::numeric_limits<double>::max();
  check_range("temperature", temperature, 0, kHuge);
  ASHLAR_CHECK(top_k >= 0, "top_k: {} is negative; 0 keeps all", top_k);
  check_range("top_p", top_p, 0, 1);
  check_range("min_p", min_p, 0, 1);
  check_range("presence_penalty", presence_penalty, -kHuge, kHuge);
  check_range("frequency_penalty", frequency_penalty, -kHuge, kHuge);
  ASHLAR_CHECK(repetition_penalty > 0 && repetition_penalty <= kHuge,
               "repetition_penalty: {} is not positive", repetition_penalty);
  for (const auto& [id, bias] : logit_bias) {
    ASHLAR_CHECK(id >= 0 && id < vocab, "logit_bias: token {} is not below the vocabulary's {}", id,
                 vocab);
    check_range("logit_bias", bias, -kHuge, kHuge);
  }
}

Sampler::Sampler(int64_t vocab)
    : adjusted_(static_cast<size_t>(vocab)), candidates_(static_cast<size_t>(vocab)) {}

bool Sampler::more_likely(const Candidate& a, const Candidate& b) {
  return a.logit != b.logit ? a.logit > b.logit : a.id < b.id;
}

int32_t Sampler::sample(std::span<const float> logits, const SamplingParams& params,
                        const TokenHistory* history, uint64_t index) {
  logits = adjust(logits, params, history);
  const size_t best = find_largest(logits);
  if (params.temperature == 0 || params.top_k == 1 || params.top_p == 0) {
    return static_cast<int32_t>(best);
  }
  candidates_.clear();
  const double largest = logits[best];
  for (size_t i = 0; i < logits.size(); ++i) {
    const double weight = std::exp((logits[i] - largest) / params.temperature);
    if (weight > 0) candidates_.push_back({logits[i], static_cast<int32_t>(i), weight});
  }
  keep_top_k(params.top_k);
  keep_top_p(params.top_p);
  // The most likely weighs 1.
  std::erase_if(candidates_, [&](const Candidate& c) { return c.weight < params.min_p; });

  double total = 0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;
  double left = draw(params, index) * total;
  for (const Candidate& candidate : candidates_) {
    left -= candidate.weight;
    if (left < 0) return candidate.id;
  }
  return candidates_.back().id;  // rounding used up the last share
}

std::span<const float> Sampler::adjust(std::span<const float> logits, const SamplingParams& params,
                                       const TokenHistory* history) {
  const bool penalties = params.has_penalties() && history != nullptr;
  if (!penalties && params.logit_bias.empty()) return logits;
  adjusted_.assign(logits.begin(), logits.end());
  for (const auto& [id, bias] : params.logit_bias) {
    float& logit = adjusted_[static_cast<size_t>(id)];
    logit = static_cast<float>(logit + bias);
  }
  if (!penalties) return adjusted_;
  for (const auto& [id, count] : history->tokens()) {
    float& logit = adjusted_[static_cast<size_t>(id)];
    double value = logit;
    value = value > 0 ? value / params.repetition_penalty : value * params.repetition_penalty;
    if (count > 0) {
      value -= params.presence_penalty + params.frequency_penalty * static_cast<double>(count);
    }
    logit = static_cast<float>(value);
  }
  return adjusted_;
}

// Candidates keep the order of ids.
void Sampler::keep_top_k(int64_t k) {
  if (k <= 0 || static_cast<size_t>(k) >= candidates_.size()) return;
  std::ranges::nth_element(candidates_, candidates_.begin() + k, more_likely);
  candidates_.resize(static_cast<size_t>(k));
  std::ranges::sort(candidates_, {}, &Candidate::id);
}

// Candidates become sorted by likelihood: the shortest row of them that has the share p.
void Sampler::keep_top_p(double p) {
  if (p >= 1) return;
  double total = 0;
  for (const Candidate& candidate : candidates_) total += candidate.weight;
  const auto less_likely = [](const Candidate& a, const Candidate& b) { return more_likely(b, a); };
  std::ranges::make_heap(candidates_, less_likely);
  double share = 0;
  size_t kept = 0;
  while (kept < candidates_.size() && share < p * total) {
    // The heap shrinks from the back, where the most likely ones gather.
    std::ranges::pop_heap(candidates_.begin(), candidates_.end() - static_cast<ptrdiff_t>(kept),
                          less_likely);
    ++kept;
    share += candidates_[candidates_.size() - kept].weight;
  }
  std::ranges::reverse(candidates_);
  candidates_.resize(kept);
}

ScoredToken Sampler::score(std::span<const float> logits, int32_t token, int64_t top) {
  const double largest = logits[find_largest(logits)];
  double sum = 0;
  for (const float logit : logits) sum += std::exp(logit - largest);
  const double log_sum = largest + std::log(sum);

  ScoredToken result;
  result.chosen = {token, logits[static_cast<size_t>(token)] - log_sum};
  const auto kept = static_cast<ptrdiff_t>(
      std::min<size_t>(logits.size(), static_cast<size_t>(std::max<int64_t>(top, 0))));
  if (kept == 0) return result;
  candidates_.clear();
  for (size_t i = 0; i < logits.size(); ++i) {
    candidates_.push_back({logits[i], static_cast<int32_t>(i), 0});
  }
  std::ranges::partial_sort(candidates_, candidates_.begin() + kept, more_likely);
  for (ptrdiff_t i = 0; i < kept; ++i) {
    const Candidate& candidate = candidates_[static_cast<size_t>(i)];
    result.top.push_back({candidate.id, candidate.logit - log_sum});
  }
  return result;
}

}  // namespace ashlar::generate
