#include "ashlar/tensor/search_scales.h"

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

// n is a multiple of 16.
float dot(const float* a, const float* b, int n) {
  float lanes[kLanes] = {};
  for (int i = 0; i < n; i += kLanes) {
    for (int lane = 0; lane < kLanes; ++lane) lanes[lane] += a[i + lane] * b[i + lane];
  }
  return ((lanes[0] + lanes[4]) + (lanes[1] + lanes[5])) +
         ((lanes[2] + lanes[6]) + (lanes[3] + lanes[7]));
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
  const float low = std::min(*std::min_element(x, x + n), 0.0f);
  const float width = *std::max_element(x, x + n) - low;
  if (inverse_of(width) == 0) return {0, -low};
  float codes[kMost], ones[kMost];
  std::fill(ones, ones + n, 1.0f);
  ScaleAndOffset best{width / high, -low};
  float best_error = nearest_codes(x, n, best, {0, high}, codes);
  for (int step = -kCandidates; step <= kCandidates; ++step) {
    const float inverse = (high + kStep * static_cast<float>(step)) / width;
    if (!std::isfinite(inverse)) continue;
    round_codes(x, n, inverse, -low, {0, high}, codes);
    const ScaleAndOffset fit = least_squares(x, codes, ones, n);
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
  float errors[kMost];
  for (int i = 0; i < n; ++i) errors[i] = by.scale * codes[i] - by.offset - x[i];
  return dot(errors, errors, n);
}

ScaleAndOffset least_squares(const float* x, const float* u, const float* v, int n) {
  const auto xu = static_cast<double>(dot(x, u, n)), uu = static_cast<double>(dot(u, u, n));
  const auto alone = static_cast<float>(uu > 0 ? xu / uu : 0);
  if (v == nullptr) return {alone, 0};
  const auto xv = static_cast<double>(dot(x, v, n)), vv = static_cast<double>(dot(v, v, n));
  const auto uv = static_cast<double>(dot(u, v, n));
  const double determinant = uu * vv - uv * uv;
  if (!(determinant > 1e-9 * uu * vv)) return {alone, 0};
  const double a = (xu * vv - xv * uv) / determinant, b = (xu * uv - xv * uu) / determinant;
  return b > 0 ? ScaleAndOffset{static_cast<float>(a), static_cast<float>(b)}
               : ScaleAndOffset{alone, 0};
}

}  // namespace ashlar
