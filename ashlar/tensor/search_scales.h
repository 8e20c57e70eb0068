// Finds scales for weights that share one: least squares over candidates around the scale that just
// covers the range, where every candidate's codes are the nearest ones.
#pragma once

#include <cstdint>

namespace ashlar {

// Codes of up to 256 weights, kept as floats since sums are taken over them.
struct CodeRange {
  float low, high;
};

// x[i] = scale code[i], code in the range.
float fit_scale(const float* x, int n, CodeRange range);

// x[i] = scale code[i] - offset, code in [0, high], offset >= 0.
struct ScaleAndOffset {
  float scale = 0, offset = 0;
};
ScaleAndOffset fit_scale_and_offset(const float* x, int n, float high);

// The nearest codes under a scale and offset; returns the sum of squared errors.
float nearest_codes(const float* x, int n, ScaleAndOffset by, CodeRange range, float* codes);

// The levels of IQ4_NL nearest to factor x[i], a block of 32; of two as near the lower one.
void nearest_levels(const float* x, float factor, float* levels);

// The factor a and the offset b >= 0 that bring a u[i] - b v[i] closest to x[i]; v may be null.
ScaleAndOffset least_squares(const float* x, const float* u, const float* v, int n);

}  // namespace ashlar
