#include "ashlar/tensor/search_scales.h"

#include "ashlar/tensor/blocks.h"

#include <algorithm>
#include <cmath>

namespace ashlar {
namespace {

constexpr int kMost = 256;      // weights at once
constexpr int kLanes = 8;       // of a sum, which the compiler may then vectorise
constexpr int kCandidates = 9;  // on each side
constexpr float kStep = 0.1f;   // between candidates, in codes

// Of numbers below 2^22, halves to even.
float rounded(float x) {
  constexpr float kShift = 12582912;  // 1.5 * 2^23: the fraction falls off
  return (x + kShift) - kShift;
}

void round_codes(const float* x, int n, float inverse, float offset, CodeRange range,
                 float* codes) {
  for (int i = 0; i < n; ++i) {
    const float code = rounded((x[i] + offset) * inverse);
    codes[i] = std::min(std::max(code, range.low), range.high);
  }
}

// The sum of term(i) over i < n, a multiple of 16, in the order that every sum here has.
template <typename Term>
float sum_of(int n, Term term) {
  float lanes[kLanes] = {};
  for (int i = 0; i < n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += term(i + lane);
  }
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) +
         ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
}

float dot(const float* a, const float* b, int n) {
  return sum_of(n, [&](int i) { return a[i] * b[i]; });
}

// Of a u - b v to x, by their products.
ScaleAndOffset solve(double xu, double xv, double uu, double uv, double vv) {
  const auto alone = static_cast<float>(uu > 0 ? xu / uu : 0);
  const double determinant = uu * vv - uv * uv;
  if (!(determinant > 1e-9 * uu * vv)) return {alone, 0};
  const double a = (xu * vv - xv * uv) / determinant, b = (xu * uv - xv * uu) / determinant;
  return b > 0 ? ScaleAndOffset{static_cast<float>(a), static_cast<float>(b)}
               : ScaleAndOffset{alone, 0};
}

struct Extent {
  float low, high;
};
// A tree's order does not matter to them.
Extent extent_of(const float* x, int n) {
  float low[kLanes], high[kLanes];
  std::copy(x, x + kLanes, low);
  std::copy(x, x + kLanes, high);
  for (int i = kLanes; i < n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) {
      low[lane] = std::min(low[lane], x[i + lane]);
      high[lane] = std::max(high[lane], x[i + lane]);
    }
  }
  return {*std::min_element(low, low + kLanes), *std::max_element(high, high + kLanes)};
}

float inverse_of(float scale) {
  const float inverse = scale == 0 ? 0 : 1 / scale;
  return std::isfinite(inverse) ? inverse : 0;
}

}  // namespace

float fit_scale(const float* x, int n, CodeRange range) {
  const float widest =
      *std::max_element(x, x + n, [](float a, float b) { return std::abs(a) < std::abs(b); });
  if (inverse_of(widest) == 0) return 0;
  float codes[kMost];
  float best = 0, best_gain = 0;  // of the squared error, against no codes at all
  for (int step = -kCandidates; step <= kCandidates; ++step) {
    // The widest weight is near the lowest code, which has no opposite.
    const float inverse = (range.low + kStep * static_cast<float>(step)) / widest;
    if (!std::isfinite(inverse)) continue;
    round_codes(x, n, inverse, 0, range, codes);
    const float xc = dot(x, codes, n), cc = dot(codes, codes, n);
    if (cc > 0 && xc * xc > best_gain * cc) {
      best = xc / cc;
      best_gain = xc * xc / cc;
    }
  }
  return best;
}

ScaleAndOffset fit_scale_and_offset(const float* x, int n, float high) {
  const Extent extent = extent_of(x, n);
  const float low = std::min(extent.low, 0.0f);
  const float width = extent.high - low;
  if (inverse_of(width) == 0) return {0, -low};
  const auto sum = static_cast<double>(sum_of(n, [&](int i) { return x[i]; }));
  float codes[kMost];
  ScaleAndOffset best{width / high, -low};
  float best_error = nearest_codes(x, n, best, {0, high}, codes);
  for (int step = -kCandidates; step <= kCandidates; ++step) {
    const float inverse = (high + kStep * static_cast<float>(step)) / width;
    if (!std::isfinite(inverse)) continue;
    round_codes(x, n, inverse, -low, {0, high}, codes);
    const auto xu = static_cast<double>(dot(x, codes, n));
    const auto uu = static_cast<double>(dot(codes, codes, n));
    const auto uv = static_cast<double>(sum_of(n, [&](int i) { return codes[i]; }));
    const ScaleAndOffset fit = solve(xu, sum, uu, uv, n);
    if (!(fit.scale > 0)) continue;
    const float error = nearest_codes(x, n, fit, {0, high}, codes);
    if (error < best_error) {
      best_error = error;
      best = fit;
    }
  }
  return best;
}

float nearest_codes(const float* x, int n, ScaleAndOffset by, CodeRange range, float* codes) {
  round_codes(x, n, inverse_of(by.scale), by.offset, range, codes);
  return sum_of(n, [&](int i) {
    const float error = by.scale * codes[i] - by.offset - x[i];
    return error * error;
  });
}

void nearest_levels(const float* x, float factor, float* levels) {
  for (int i = 0; i < kSmallBlock; ++i) {
    const float at = x[i] * factor;
    float level = kIQ4Levels[0];  // whole numbers: the sum of the steps below is exact
#pragma GCC unroll 15
    for (int n = 0; n < 15; ++n) {
      const int low = kIQ4Levels[n], high = kIQ4Levels[n + 1];
      level += at > static_cast<float>(low + high) / 2 ? static_cast<float>(high - low) : 0;
    }
    levels[i] = level;
  }
}

ScaleAndOffset least_squares(const float* x, const float* u, const float* v, int n) {
  const auto xu = static_cast<double>(dot(x, u, n)), uu = static_cast<double>(dot(u, u, n));
  if (v == nullptr) return {static_cast<float>(uu > 0 ? xu / uu : 0), 0};
  return solve(xu, static_cast<double>(dot(x, v, n)), uu, static_cast<double>(dot(u, v, n)),
               static_cast<double>(dot(v, v, n)));
}

}  // namespace ashlar
