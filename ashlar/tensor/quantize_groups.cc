// Blocks of 256 and of uneven levels. Each group gets the scale that suits it; the block's own d
// (and dmin) make integers of those; then, in turns, every group takes the integers around its own
// that suit its weights best and d and dmin are fitted to all 256.
#include "ashlar/tensor/block_codes.h"
#include "ashlar/tensor/quantize_block.h"
#include "ashlar/tensor/search_scales.h"

#include <algorithm>
#include <array>
#include <cmath>
#include <limits>

namespace ashlar {
namespace {

constexpr int kRounds = 2;

// What the codes and the integer scales of a format may be. Offsets: dmin and mins are there.
struct Format {
  int group;
  CodeRange codes;
  int lowest_scale, highest_scale;
  bool offsets;
};

f16 half(float x) {
  constexpr float kLargest = 65504;
  return to_f16(std::clamp(x, -kLargest, kLargest));
}

// A block before it is packed.
struct Fitted {
  f16 d{}, dmin{};
  int scales[16] = {}, mins[16] = {};
  float codes[kLargeBlock] = {};
  float error = std::numeric_limits<float>::infinity();
};

int nearest_integer(float x, float unit, int low, int high) {
  if (unit == 0) return std::clamp(0, low, high);
  return static_cast<int>(
      std::clamp(std::round(x / unit), static_cast<float>(low), static_cast<float>(high)));
}

// The integers near `scales` and `mins` with the least error of each group, under a d and dmin.
Fitted choose_integers(const float* x, const Format& format, f16 d, f16 dmin, const int* scales,
                       const int* mins) {
  Fitted fitted{.d = d, .dmin = dmin, .error = 0};
  const float unit = to_float(d), min_unit = to_float(dmin);
  for (int g = 0; g < kLargeBlock / format.group; ++g) {
    const int first = g * format.group;
    float best = std::numeric_limits<float>::infinity();
    float codes[kLargeBlock];
    const int spread = format.offsets ? 1 : 0;
    for (int scale = scales[g] - 1; scale <= scales[g] + 1; ++scale) {
      if (scale < format.lowest_scale || scale > format.highest_scale) continue;
      for (int min = mins[g] - spread; min <= mins[g] + spread; ++min) {
        if (min < 0 || min > format.highest_scale) continue;
        const ScaleAndOffset by{unit * static_cast<float>(scale),
                                min_unit * static_cast<float>(min)};
        const float error = nearest_codes(x + first, format.group, by, format.codes, codes);
        if (!(error < best)) continue;
        best = error;
        fitted.scales[g] = scale;
        fitted.mins[g] = min;
        std::copy(codes, codes + format.group, fitted.codes + first);
      }
    }
    fitted.error += best;
  }
  return fitted;
}

Fitted fit(const float* x, const Format& format) {
  const int groups = kLargeBlock / format.group;
  ScaleAndOffset own[16];
  float widest = 0, widest_offset = 0;
  for (int g = 0; g < groups; ++g) {
    const float* part = x + g * format.group;
    if (format.offsets) {
      own[g] = fit_scale_and_offset(part, format.group, format.codes.high);
    } else {
      own[g].scale = fit_scale(part, format.group, format.codes);
    }
    if (std::abs(own[g].scale) > std::abs(widest)) widest = own[g].scale;
    widest_offset = std::max(widest_offset, own[g].offset);
  }
  // Of signed scales the widest is the lowest integer, which has no opposite.
  const bool is_signed = format.lowest_scale < 0;
  f16 d = half(widest / static_cast<float>(is_signed ? format.lowest_scale : format.highest_scale));
  f16 dmin = half(widest_offset / static_cast<float>(format.highest_scale));
  int scales[16], mins[16] = {};
  for (int g = 0; g < groups; ++g) {
    scales[g] =
        nearest_integer(own[g].scale, to_float(d), format.lowest_scale, format.highest_scale);
    if (format.offsets) {
      mins[g] = nearest_integer(own[g].offset, to_float(dmin), 0, format.highest_scale);
    }
  }
  Fitted best;
  for (int round = 0;; ++round) {
    Fitted fitted = choose_integers(x, format, d, dmin, scales, mins);
    const bool better = fitted.error < best.error;
    if (better || round == 0) best = fitted;
    if (!better || round == kRounds) return best;
    std::copy(fitted.scales, fitted.scales + groups, scales);
    std::copy(fitted.mins, fitted.mins + groups, mins);
    float u[kLargeBlock], v[kLargeBlock];
    for (int i = 0; i < kLargeBlock; ++i) {
      u[i] = static_cast<float>(scales[i / format.group]) * fitted.codes[i];
      v[i] = static_cast<float>(mins[i / format.group]);
    }
    const ScaleAndOffset all = least_squares(x, u, format.offsets ? v : nullptr, kLargeBlock);
    d = half(all.scale);
    dmin = half(all.offset);
  }
}

template <typename Block>
void pack(const float* x, const Format& format, Block& b) {
  const Fitted fitted = fit(x, format);
  b.d = fitted.d;
  if constexpr (requires { b.dmin; }) b.dmin = fitted.dmin;
  for (int g = 0; g < kLargeBlock / format.group; ++g) {
    if constexpr (requires { b.dmin; }) {
      set_scale(b, g, fitted.scales[g], fitted.mins[g]);
    } else {
      set_scale(b, g, fitted.scales[g]);
    }
  }
  for (int i = 0; i < kLargeBlock; ++i) set_code(b, i, static_cast<int>(fitted.codes[i]));
}

constexpr std::array<float, 15> middles_of_levels() {
  std::array<float, 15> middles{};
  for (size_t i = 0; i < middles.size(); ++i) {
    middles[i] = static_cast<float>(kIQ4Levels[i] + kIQ4Levels[i + 1]) / 2;
  }
  return middles;
}

// The number of the nearest level: a search by halves.
int nearest_level(float x) {
  static constexpr std::array<float, 15> kMiddles = middles_of_levels();
  size_t number = x > kMiddles[7] ? 8 : 0;
  for (size_t step = 4; step > 0; step /= 2) number += x > kMiddles[number + step - 1] ? step : 0;
  return static_cast<int>(number);
}

}  // namespace

void quantize_block(const float* x, BlockQ2K& b) { pack(x, {16, {0, 3}, 0, 15, true}, b); }
void quantize_block(const float* x, BlockQ3K& b) { pack(x, {16, {-4, 3}, -32, 31, false}, b); }
void quantize_block(const float* x, BlockQ4K& b) { pack(x, {32, {0, 15}, 0, 63, true}, b); }
void quantize_block(const float* x, BlockQ5K& b) { pack(x, {32, {0, 31}, 0, 63, true}, b); }
void quantize_block(const float* x, BlockQ6K& b) { pack(x, {16, {-32, 31}, -128, 127, false}, b); }

void quantize_block(const float* x, BlockIQ4NL& b) {
  constexpr int kTries = 8;  // on each side of the scale that just covers the widest weight
  const float widest = *std::max_element(
      x, x + kSmallBlock, [](float a, float c) { return std::abs(a) < std::abs(c); });
  f16 best{};
  float best_error = std::numeric_limits<float>::infinity();
  float levels[kSmallBlock];
  const auto find_levels = [&](float d) {
    const float inverse = d == 0 || !std::isfinite(1 / d) ? 0 : 1 / d;
    nearest_levels(x, inverse, levels);
  };
  const auto error_with = [&](float d) {
    find_levels(d);
    float error = 0;
    for (int i = 0; i < kSmallBlock; ++i) {
      const float off = d * levels[i] - x[i];
      error += off * off;
    }
    return error;
  };
  for (const float end : {-127.0f, 113.0f}) {
    for (int step = -kTries; step <= kTries; ++step) {
      find_levels(widest / (end + 2 * static_cast<float>(step)));
      const f16 stored = half(least_squares(x, levels, nullptr, kSmallBlock).scale);
      const float error = error_with(to_float(stored));
      if (!(error < best_error)) continue;
      best_error = error;
      best = stored;
    }
  }
  b.d = best;
  const float d = to_float(best);
  const float inverse = d == 0 ? 0 : 1 / d;
  for (int i = 0; i < kSmallBlock; ++i) set_code(b, i, nearest_level(x[i] * inverse));
}

}  // namespace ashlar
