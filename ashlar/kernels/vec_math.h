// exp, log, tanh, erf and the sigmoid on Vec: polynomials evaluated by fma, equal bits on every
// vector tier, within 2 units in the last place (tests/kernels/vec_math_test.cc measures). NaN
// gives NaN. The coefficients are minimax fits printed by tests/oracles/fit_vec_math.py.
#pragma once

#include "ashlar/kernels/vec.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

inline constexpr float kInfinity = __builtin_inff();

// c[0] + c[1] x + ... + c[kTerms - 1] x^(kTerms - 1), by Horner's rule.
template <int kTerms>
ASHLAR_INLINE Vec polynomial(Vec x, const float (&c)[kTerms]) {
  Vec sum = broadcast(c[kTerms - 1]);
#pragma GCC unroll 16
  for (int k = kTerms - 2; k >= 0; --k) sum = fma(sum, x, broadcast(c[k]));
  return sum;
}

ASHLAR_INLINE Vec copy_sign(Vec magnitude, Vec sign) {
  return as_floats(as_ints(magnitude) | (as_ints(sign) & ints(INT32_MIN)));
}

// ln 2 in two parts; a product of the first with an integer below 2^15 is exact.
inline constexpr float kLn2High = 0.693359375f;
inline constexpr float kLn2Low = -2.12194440e-4f;

// e^x = 2^n e^r, |r| <= ln(2) / 2. Results below 2^-126 are 0.
ASHLAR_INLINE Vec exp(Vec x) {
  constexpr float kTerms[] = {0.49999994f, 0.166665167f, 0.0416681021f, 0.00836919248f,
                              0.00138389028f};
  constexpr float kLog2E = 1.44269504f;
  constexpr float kLargest = 88.7228317f;    // the last float whose e^x is finite
  constexpr float kSmallest = -87.3365402f;  // the last whose e^x is a normal number
  // Adding 1.5 * 2^23 rounds to an integer and leaves n in the low bits.
  const Vec shift = broadcast(0x1.8p23f);
  const Vec shifted = fma(x, broadcast(kLog2E), shift);
  const Vec n = shifted - shift;
  const Vec r = fnma(n, broadcast(kLn2Low), fnma(n, broadcast(kLn2High), x));
  const Vec e_r = fma(r * r, polynomial(r, kTerms), r) + broadcast(1);
  const Vec y = as_floats(as_ints(e_r) + shift_left<23>(as_ints(shifted)));
  const Vec capped = select(greater(x, broadcast(kLargest)), broadcast(kInfinity), y);
  return select(less(x, broadcast(kSmallest)), zero(), capped);
}

// log(2^e m) = e ln 2 + log(m), m in [sqrt(1/2), sqrt(2)). log(0) = -inf, log(x < 0) = NaN.
ASHLAR_INLINE Vec log(Vec x) {
  constexpr float kTerms[] = {0.333333135f, -0.250001669f, 0.200022221f,
                              -0.16659373f, 0.142096356f,  -0.12548992f,
                              0.121120043f, -0.109159671f, 0.0530593321f};
  constexpr int32_t kSqrtHalf = 0x3f3504f3;  // bits of sqrt(1/2)
  const Mask subnormal = less(x, broadcast(0x1p-126f));
  const Vec scaled = select(subnormal, x * broadcast(0x1p25f), x);
  const Ints offset = as_ints(scaled) - ints(kSqrtHalf);
  const Vec e =
      to_floats(shift_right_signed<23>(offset)) - select(subnormal, broadcast(25), zero());
  const Vec f = as_floats((offset & ints(0x7fffff)) + ints(kSqrtHalf)) - broadcast(1);
  const Vec f2 = f * f;
  Vec y = f2 * f * polynomial(f, kTerms);
  y = fma(e, broadcast(kLn2Low), y);
  y = fnma(broadcast(0.5f), f2, y);
  y = fma(e, broadcast(kLn2High), f + y);
  y = select(equal(x, broadcast(kInfinity)), x, y);
  y = select(greater_equal(x, zero()), y, broadcast(__builtin_nanf("")));
  return select(equal(x, zero()), broadcast(-kInfinity), y);
}

// Below 0.625 an odd polynomial, above 1 - 2 / (e^2x + 1).
ASHLAR_INLINE Vec tanh(Vec x) {
  constexpr float kTerms[] = {-0.333332807f, 0.133314058f, -0.0537365153f, 0.0206281673f,
                              -0.00569229666f};
  const Vec size = abs(x);
  const Vec x2 = x * x;
  const Vec near = fma(size * x2, polynomial(x2, kTerms), size);
  const Vec far = broadcast(1) - broadcast(2) / (exp(size + size) + broadcast(1));
  return copy_sign(select(less(size, broadcast(0.625f)), near, far), x);
}

// Below 1 an odd polynomial, above 1 - e^-P(x); from 4 on that is 1.
ASHLAR_INLINE Vec erf(Vec x) {
  constexpr float kNear[] = {0.128379166f,  -0.37612626f,    0.112835787f,   -0.0268533472f,
                             0.0051871622f, -0.00079978531f, 7.80690316e-05f};
  constexpr float kFar[] = {-0.000188467413f, 1.12958026f,    0.63321656f,      0.108421899f,
                            -0.0252102204f,   0.00420525018f, -0.000441468757f, 2.16976332e-05f};
  const Vec size = abs(x);
  const Vec near = fma(size, polynomial(x * x, kNear), size);
  const Vec far = broadcast(1) - exp(-polynomial(min(broadcast(4), size), kFar));
  return copy_sign(select(less(size, broadcast(1)), near, far), x);
}

ASHLAR_INLINE Vec sigmoid(Vec x) { return broadcast(1) / (broadcast(1) + exp(-x)); }

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
