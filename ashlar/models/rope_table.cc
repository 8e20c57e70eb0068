#include "ashlar/models/rope_table.h"

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

double scaled(const RopeConfig& rope, double frequency) {
  switch (rope.scaling) {
    case RopeScaling::kDefault:
      return frequency;
    case RopeScaling::kLinear:
      return frequency / rope.factor;
    case RopeScaling::kLlama3:
      return llama3_frequency(rope, frequency);
  }
  return frequency;
}

}  // namespace

std::vector<double> rope_frequencies(const RopeConfig& rope) {
  std::vector<double> frequencies;
  for (int64_t i = 0; i < rope.rotary_dim; i += 2) {
    const double exponent = static_cast<double>(i) / static_cast<double>(rope.rotary_dim);
    frequencies.push_back(scaled(rope, std::pow(rope.theta, -exponent)));
  }
  return frequencies;
}

std::vector<float> rope_table(const RopeConfig& rope, int64_t positions) {
  const std::vector<double> frequencies = rope_frequencies(rope);
  std::vector<float> table;
  table.reserve(static_cast<size_t>(positions * rope.rotary_dim));
  for (int64_t p = 0; p < positions; ++p) {
    const auto position = static_cast<double>(p);
    for (const double f : frequencies) table.push_back(static_cast<float>(std::cos(position * f)));
    for (const double f : frequencies) table.push_back(static_cast<float>(std::sin(position * f)));
  }
  return table;
}

}  // namespace ashlar::models
