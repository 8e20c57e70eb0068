#include "ashlar/models/rope_table.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ashlar::models {
namespace {

// Wavelengths beyond the original context are stretched, short ones kept, the rest blended.
double llama3_frequency(const RopeConfig& rope, double frequency) {
  const double turns = static_cast<double>(rope.original_max_positions) * frequency /
                       (2 * std::numbers::pi);  // within the original context
  if (turns < rope.low_freq_factor) return frequency / rope.factor;
  if (turns > rope.high_freq_factor) return frequency;
  const double blend =
      (turns - rope.low_freq_factor) / (rope.high_freq_factor - rope.low_freq_factor);
  return (1 - blend) * frequency / rope.factor + blend * frequency;
}

// The pair of channels that turns `turns` times within the original context, as a fraction.
double pair_of_turns(const RopeConfig& rope, double turns) {
  const double wavelength = static_cast<double>(rope.original_max_positions) / turns;
  return static_cast<double>(rope.rotary_dim) * std::log(wavelength / (2 * std::numbers::pi)) /
         (2 * std::log(rope.theta));
}

// Pairs that turn more often than beta_fast keep their frequency, those below beta_slow are
// stretched, between the share rises linearly (Peng et al. 2023, section 3.2).
double yarn_frequency(const RopeConfig& rope, int64_t pair, double frequency) {
  double low = pair_of_turns(rope, rope.beta_fast), high = pair_of_turns(rope, rope.beta_slow);
  if (rope.truncate) {
    low = std::floor(low);
    high = std::ceil(high);
  }
  low = std::max(low, 0.0);
  high = std::min(high, static_cast<double>(rope.rotary_dim - 1));
  if (low == high) high += 0.001;
  const double stretched = std::clamp((static_cast<double>(pair) - low) / (high - low), 0.0, 1.0);
  return (1 - stretched) * frequency + stretched * frequency / rope.factor;
}

double scaled(const RopeConfig& rope, int64_t pair, double frequency, bool beyond) {
  switch (rope.scaling) {
    case RopeScaling::kDefault:
    case RopeScaling::kDynamic:  // differs beyond the model's positions only
      return frequency;
    case RopeScaling::kLinear:
      return frequency / rope.factor;
    case RopeScaling::kLlama3:
      return llama3_frequency(rope, frequency);
    case RopeScaling::kYarn:
      return yarn_frequency(rope, pair, frequency);
    case RopeScaling::kLong: {
      const auto& factors = beyond ? rope.long_factors : rope.short_factors;
      return frequency / factors[static_cast<size_t>(pair)];
    }
  }
  return frequency;
}

}  // namespace

std::vector<double> rope_frequencies(const RopeConfig& rope, bool beyond) {
  std::vector<double> frequencies;
  for (int64_t i = 0; i < rope.rotary_dim; i += 2) {
    const double exponent = static_cast<double>(i) / static_cast<double>(rope.rotary_dim);
    frequencies.push_back(scaled(rope, i / 2, std::pow(rope.theta, -exponent), beyond));
  }
  return frequencies;
}

bool has_long_rows(const RopeConfig& rope, int64_t positions) {
  return rope.scaling == RopeScaling::kLong && positions > rope.original_max_positions;
}

std::vector<float> rope_table(const RopeConfig& rope, int64_t positions) {
  std::vector<float> table;
  const auto append = [&](bool beyond) {
    const std::vector<double> frequencies = rope_frequencies(rope, beyond);
    for (int64_t p = 0; p < positions; ++p) {
      const auto position = static_cast<double>(p);
      const auto add = [&](double value) {
        table.push_back(static_cast<float>(rope.attention_factor * value));
      };
      for (const double f : frequencies) add(std::cos(position * f));
      for (const double f : frequencies) add(std::sin(position * f));
    }
  };
  append(false);
  if (has_long_rows(rope, positions)) append(true);
  return table;
}

}  // namespace ashlar::models
