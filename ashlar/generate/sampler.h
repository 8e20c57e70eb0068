// Chooses tokens from logits. Order: logit_bias, penalties, temperature, top_k, top_p, min_p (as
// transformers has it), then a draw keyed by (seed, stream, index of the token), so that it depends
// on nothing else. Ties go to the lowest id. Log-probabilities are the model's own: of the logits
// as they came, before anything is applied to them.
#pragma once

#include "ashlar/generate/sampling_params.h"
#include "ashlar/generate/token_history.h"

#include <cstdint>
#include <span>
#include <vector>

namespace ashlar::generate {

struct TokenLogprob {
  int32_t id = 0;
  double logprob = 0;
  bool operator==(const TokenLogprob&) const = default;
};

struct ScoredToken {
  TokenLogprob chosen;
  std::vector<TokenLogprob> top;  // most likely first
};

// Keeps scratch space for one thread.
class Sampler {
 public:
  explicit Sampler(int64_t vocab);

  // index: how many tokens were generated before. history may be null without penalties. Throws
  // Error for logits that are NaN, +infinity, or all -infinity.
  int32_t sample(std::span<const float> logits, const SamplingParams& params,
                 const TokenHistory* history, uint64_t index);

  // The log-probability of `token` and the `top` most likely ones. Throws like sample().
  ScoredToken score(std::span<const float> logits, int32_t token, int64_t top);

 private:
  struct Candidate {
    float logit;
    int32_t id;
    double weight;  // exp((logit - largest) / temperature)
  };
  static bool more_likely(const Candidate& a, const Candidate& b);

  std::span<const float> adjust(std::span<const float> logits, const SamplingParams& params,
                                const TokenHistory* history);
  void keep_top_k(int64_t k);
  void keep_top_p(double p);

  std::vector<float> adjusted_;
  std::vector<Candidate> candidates_;
};

}  // namespace ashlar::generate
