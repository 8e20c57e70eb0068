#include "ashlar/embed/pooling.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <cmath>

namespace ashlar::embed {
namespace {

// Sum over tokens of weight(token) * row.
template <typename Weight>
std::vector<double> weighted_sum(std::span<const float> rows, int64_t width, Weight weight) {
  std::vector<double> sum(static_cast<size_t>(width));
  const auto tokens = static_cast<int64_t>(rows.size()) / width;
  for (int64_t t = 0; t < tokens; ++t) {
    const double w = weight(t);
    const float* const row = rows.data() + t * width;
    for (size_t c = 0; c < sum.size(); ++c) sum[c] += w * double{row[c]};
  }
  return sum;
}

std::vector<float> divided(const std::vector<double>& sum, double by) {
  std::vector<float> result;
  result.reserve(sum.size());
  for (const double value : sum) result.push_back(static_cast<float>(value / by));
  return result;
}

}  // namespace

std::vector<float> pool(Pooling pooling, std::span<const float> rows, int64_t width) {
  ASHLAR_DCHECK(width > 0 && !rows.empty() && std::ssize(rows) % width == 0);
  const auto n = static_cast<double>(std::ssize(rows) / width);
  const auto one = [](int64_t) { return 1.0; };
  const auto size = static_cast<size_t>(width);
  switch (pooling) {
    case Pooling::kMean:
      return divided(weighted_sum(rows, width, one), n);
    case Pooling::kMeanSqrt:
      return divided(weighted_sum(rows, width, one), std::sqrt(n));
    case Pooling::kWeightedMean:
      return divided(weighted_sum(rows, width, [](int64_t t) { return double(t + 1); }),
                     n * (n + 1) / 2);
    case Pooling::kCls:
      return {rows.begin(), rows.begin() + width};
    case Pooling::kLast:
      return {rows.end() - width, rows.end()};
    case Pooling::kMax: {
      std::vector<float> most(rows.begin(), rows.begin() + width);
      for (size_t i = size; i < rows.size(); ++i)
        most[i % size] = std::max(most[i % size], rows[i]);
      return most;
    }
  }
  return {};
}

void normalize(std::span<float> vector) {
  double squares = 0;
  for (const float value : vector) squares += double{value} * double{value};
  if (squares == 0) return;
  const double length = std::sqrt(squares);
  for (float& value : vector) value = static_cast<float>(double{value} / length);
}

}  // namespace ashlar::embed
