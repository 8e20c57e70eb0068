#include "ashlar/bundle/rope_divisors.h"

#include "ashlar/models/rope_table.h"

#include <algorithm>
#include <cmath>
#include <numbers>

namespace ashlar::bundle {
namespace {

constexpr double kTolerance = 1e-4, kTurn = 2 * std::numbers::pi;

// A frequency and how much of it is kept: from 0 (divided by the whole factor) to 1.
struct Kept {
  double frequency, part;
};

// Between the two ends the part is a line over the frequency, (original f / 2 pi - 1) / (high - 1).
void fit_blend(const std::vector<Kept>& middle, models::RopeConfig& rope) {
  if (middle.size() >= 2) {
    const Kept &a = middle.front(), &b = middle.back();
    const double slope = (a.part - b.part) / (a.frequency - b.frequency);
    const double at_zero = a.part - slope * a.frequency;  // -1 / (high - 1)
    rope.high_freq_factor = std::round((1 - 1 / at_zero) * 1000) / 1000;
    rope.original_max_positions = std::llround(slope * kTurn * (rope.high_freq_factor - 1));
  } else {
    const double turns = middle[0].part * (rope.high_freq_factor - 1) + 1;
    rope.original_max_positions = std::llround(turns * kTurn / middle[0].frequency);
  }
}

}  // namespace

std::vector<float> rope_divisors(const models::RopeConfig& rope) {
  models::RopeConfig plain = rope;
  plain.scaling = models::RopeScaling::kDefault;
  const std::vector<double> from = models::rope_frequencies(plain);
  const std::vector<double> to = models::rope_frequencies(rope);
  std::vector<float> divisors;
  for (size_t i = 0; i < from.size(); ++i) divisors.push_back(static_cast<float>(from[i] / to[i]));
  return divisors;
}

std::optional<models::RopeConfig> rope_of_divisors(std::span<const float> divisors, double theta) {
  models::RopeConfig rope;
  rope.rotary_dim = static_cast<int64_t>(divisors.size()) * 2;
  rope.theta = theta;
  if (divisors.empty()) return std::nullopt;
  rope.factor = static_cast<double>(std::ranges::max(divisors));
  if (!(rope.factor > 1 + kTolerance)) {
    if (std::abs(rope.factor - 1) > kTolerance) return std::nullopt;
    rope.factor = 1;
  } else {
    const std::vector<double> frequencies = models::rope_frequencies(rope);
    rope.scaling = models::RopeScaling::kLlama3;
    rope.low_freq_factor = 1;
    rope.high_freq_factor = 4;
    std::vector<Kept> middle;
    double slowest_kept = 0, fastest_stretched = 0;
    for (size_t i = 0; i < divisors.size(); ++i) {
      const auto divisor = static_cast<double>(divisors[i]);
      const double part = (1 / divisor - 1 / rope.factor) / (1 - 1 / rope.factor);
      if (part > 1 - kTolerance) {
        slowest_kept = frequencies[i];
      } else if (part < kTolerance) {
        fastest_stretched = std::max(fastest_stretched, frequencies[i]);
      } else {
        middle.push_back({frequencies[i], part});
      }
    }
    if (!middle.empty()) {
      fit_blend(middle, rope);
    } else {  // any between the two
      const double least = slowest_kept > 0 ? kTurn * 4 / slowest_kept : 1;
      const double most = kTurn / fastest_stretched;
      rope.original_max_positions = std::llround(std::sqrt(least * most));
    }
    if (rope.original_max_positions < 1 || !(rope.high_freq_factor > 1)) return std::nullopt;
  }
  const std::vector<float> found = rope_divisors(rope);
  for (size_t i = 0; i < found.size(); ++i) {
    const auto wanted = static_cast<double>(divisors[i]);
    if (!(std::abs(static_cast<double>(found[i]) - wanted) <= kTolerance * wanted)) {
      return std::nullopt;
    }
  }
  return rope;
}

}  // namespace ashlar::bundle
