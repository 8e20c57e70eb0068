// Activations and their derivatives on Vec, for the elementwise kernels and epilogues of gemm.
#pragma once

#include "ashlar/kernels/args.h"
#include "ashlar/kernels/vec_math.h"

namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE {

// f(x) and f'(x) of one activation; with_activation picks the type.
struct Identity {
  ASHLAR_INLINE Vec value(Vec x) { return x; }
  ASHLAR_INLINE Vec grad(Vec) { return broadcast(1); }
};
struct Relu {
  ASHLAR_INLINE Vec value(Vec x) { return select(greater(x, zero()), x, zero()); }
  ASHLAR_INLINE Vec grad(Vec x) { return select(greater(x, zero()), broadcast(1), zero()); }
};
struct Silu {
  ASHLAR_INLINE Vec value(Vec x) { return x * sigmoid(x); }
  ASHLAR_INLINE Vec grad(Vec x) {
    const Vec s = sigmoid(x);
    return fma(x * s, broadcast(1) - s, s);
  }
};
// 0.5 x (1 + tanh(u)) = x sigmoid(2u), u = sqrt(2/pi) (x + 0.044715 x^3).
struct GeluTanh {
  static constexpr float kLinear = 1.59576917f;   // 2 sqrt(2/pi)
  static constexpr float kCubic = 0.0713548139f;  // 0.044715 * 2 sqrt(2/pi)
  ASHLAR_INLINE Vec gate(Vec x) {
    return sigmoid(x * fma(x * x, broadcast(kCubic), broadcast(kLinear)));
  }
  ASHLAR_INLINE Vec value(Vec x) { return x * gate(x); }
  ASHLAR_INLINE Vec grad(Vec x) {
    const Vec s = gate(x);
    const Vec inner = fma(x * x, broadcast(3 * kCubic), broadcast(kLinear));
    return fma(x * s * (broadcast(1) - s), inner, s);
  }
};
// x times the normal distribution function.
struct GeluErf {
  static constexpr float kSqrtHalf = 0.707106769f;
  static constexpr float kDensity = 0.398942292f;  // 1 / sqrt(2 pi)
  ASHLAR_INLINE Vec gate(Vec x) {
    return fma(broadcast(0.5f), erf(x * broadcast(kSqrtHalf)), broadcast(0.5f));
  }
  ASHLAR_INLINE Vec value(Vec x) { return x * gate(x); }
  ASHLAR_INLINE Vec grad(Vec x) {
    const Vec density = broadcast(kDensity) * exp(broadcast(-0.5f) * (x * x));
    return fma(x, density, gate(x));
  }
};
// x sigmoid(1.702 x).
struct GeluQuick {
  static constexpr float kSlope = 1.702f;
  ASHLAR_INLINE Vec value(Vec x) { return x * sigmoid(x * broadcast(kSlope)); }
  ASHLAR_INLINE Vec grad(Vec x) {
    const Vec u = x * broadcast(kSlope), s = sigmoid(u);
    return fma(u * s, broadcast(1) - s, s);
  }
};
struct ReluSquared {
  ASHLAR_INLINE Vec value(Vec x) {
    const Vec positive = Relu{}.value(x);
    return positive * positive;
  }
  ASHLAR_INLINE Vec grad(Vec x) { return broadcast(2) * Relu{}.value(x); }
};
struct Tanh {
  ASHLAR_INLINE Vec value(Vec x) { return tanh(x); }
  // 1 - tanh^2 without its cancellation.
  ASHLAR_INLINE Vec grad(Vec x) {
    const Vec u = x + x;
    return broadcast(4) * sigmoid(u) * sigmoid(-u);
  }
};
struct Sigmoid {
  ASHLAR_INLINE Vec value(Vec x) { return sigmoid(x); }
  ASHLAR_INLINE Vec grad(Vec x) { return sigmoid(x) * sigmoid(-x); }
};

// f(type) with the type of the activation.
template <typename F>
ASHLAR_INLINE void with_activation(Activation activation, F f) {
  switch (activation) {
    case Activation::kNone:
      return f(Identity{});
    case Activation::kGeluTanh:
      return f(GeluTanh{});
    case Activation::kGeluErf:
      return f(GeluErf{});
    case Activation::kSilu:
      return f(Silu{});
    case Activation::kRelu:
      return f(Relu{});
    case Activation::kGeluQuick:
      return f(GeluQuick{});
    case Activation::kReluSquared:
      return f(ReluSquared{});
    case Activation::kTanh:
      return f(Tanh{});
    case Activation::kSigmoid:
      return f(Sigmoid{});
  }
}

}  // namespace ashlar::kernels::ASHLAR_TIER_NAMESPACE
