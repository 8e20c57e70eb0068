// How a request wants its tokens chosen.
#pragma once

#include <cstdint>
#include <utility>
#include <vector>

namespace ashlar::generate {

struct SamplingParams {
  double temperature = 1;  // 0: always the most likely token
  int64_t top_k = 0;       // keep so many; 0: all
  double top_p = 1;        // keep the most likely that together have this share; 0: one
  double min_p = 0;        // keep those at least this likely, relative to the most likely
  double presence_penalty = 0, frequency_penalty = 0;  // subtracted, of generated tokens
  double repetition_penalty = 1;                       // divides, of prompt and generated tokens
  std::vector<std::pair<int32_t, double>> logit_bias;  // added
  uint64_t seed = 0;
  uint64_t stream = 0;  // which of several samples of one prompt

  bool has_penalties() const {
    return presence_penalty != 0 || frequency_penalty != 0 || repetition_penalty != 1;
  }
  // Throws Error naming the field, its value and the range.
  void validate(int64_t vocab) const;
};

}  // namespace ashlar::generate
