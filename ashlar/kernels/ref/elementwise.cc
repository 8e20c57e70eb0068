#include "ashlar/kernels/ref/elementwise.h"

#include "ashlar/base/philox.h"

#include <cmath>
#include <numbers>

namespace ashlar::kernels::ref {
namespace {

// gelu, tanh form: 0.5 x (1 + tanh(u)), u = sqrt(2/pi) (x + 0.044715 x^3) (Hendrycks and Gimpel
// 2016).
constexpr double kGeluCubic = 0.044715;
constexpr double kQuickSlope = 1.702;  // of the sigmoid that stands for the distribution function
const double kGeluScale = std::sqrt(2 / std::numbers::pi);

double gelu_inner(double x) { return kGeluScale * (x + kGeluCubic * x * x * x); }
double gelu_inner_grad(double x) { return kGeluScale * (1 + 3 * kGeluCubic * x * x); }
double normal_cdf(double x) { return 0.5 * std::erfc(-x / std::numbers::sqrt2); }
double normal_pdf(double x) { return std::exp(-0.5 * x * x) / std::sqrt(2 * std::numbers::pi); }
double sigmoid(double x) { return 1 / (1 + std::exp(-x)); }

}  // namespace

double activate(Activation activation, double x) {
  switch (activation) {
    case Activation::kNone:
      return x;
    case Activation::kGeluTanh:
      return 0.5 * x * (1 + std::tanh(gelu_inner(x)));
    case Activation::kGeluErf:
      return x * normal_cdf(x);
    case Activation::kSilu:
      return x * sigmoid(x);
    case Activation::kRelu:
      return x > 0 ? x : 0;
    case Activation::kGeluQuick:
      return x * sigmoid(kQuickSlope * x);
    case Activation::kReluSquared:
      return x > 0 ? x * x : 0;
    case Activation::kTanh:
      return std::tanh(x);
    case Activation::kSigmoid:
      return sigmoid(x);
  }
  return x;
}

double activate_grad(Activation activation, double x) {
  switch (activation) {
    case Activation::kNone:
      return 1;
    case Activation::kGeluTanh: {
      const double t = std::tanh(gelu_inner(x));
      return 0.5 * (1 + t) + 0.5 * x * (1 - t * t) * gelu_inner_grad(x);
    }
    case Activation::kGeluErf:
      return normal_cdf(x) + x * normal_pdf(x);
    case Activation::kSilu: {
      const double s = sigmoid(x);
      return s + x * s * (1 - s);
    }
    case Activation::kRelu:
      return x > 0 ? 1 : 0;
    case Activation::kGeluQuick: {
      const double s = sigmoid(kQuickSlope * x);
      return s + kQuickSlope * x * s * (1 - s);
    }
    case Activation::kReluSquared:
      return x > 0 ? 2 * x : 0;
    case Activation::kTanh:
      return 1 - std::tanh(x) * std::tanh(x);
    case Activation::kSigmoid:
      return sigmoid(x) * (1 - sigmoid(x));
  }
  return 1;
}

void activation(const ActivationArgs& args) {
  for (int64_t i = 0; i < args.elements; ++i) args.y[i] = activate(args.activation, args.x[i]);
}

void activation_grad(const ActivationGradArgs& args) {
  for (int64_t i = 0; i < args.elements; ++i) {
    args.d_x[i] = args.d_y[i] * activate_grad(args.activation, args.x[i]);
  }
}

void gated(const GatedArgs& args) {
  for (int64_t t = 0; t < args.rows; ++t) {
    for (int64_t c = 0; c < args.width; ++c) {
      const double gate = args.gate[t * args.gate_stride + c];
      const double up = args.up[t * args.up_stride + c];
      args.out[t * args.width + c] = activate(args.activation, gate) * up;
    }
  }
}

void gated_grad(const GatedGradArgs& args) {
  const GatedArgs& forward = args.forward;
  for (int64_t t = 0; t < forward.rows; ++t) {
    for (int64_t c = 0; c < forward.width; ++c) {
      const int64_t i = t * forward.width + c;
      const double gate = forward.gate[t * forward.gate_stride + c];
      const double up = forward.up[t * forward.up_stride + c];
      const double d_out = args.d_out[i];  // read first: d_gate or d_up may overwrite it
      args.d_gate[i] = d_out * up * activate_grad(forward.activation, gate);
      args.d_up[i] = d_out * activate(forward.activation, gate);
    }
  }
}

void add(const AddArgs& args) {
  for (int64_t i = 0; i < args.elements; ++i) args.y[i] = args.a[i] + args.b[i];
}

void scale(const ScaleArgs& args) {
  for (int64_t i = 0; i < args.elements; ++i) args.y[i] = args.factor * args.x[i];
}

void softcap(const SoftcapArgs& args) {
  for (int64_t i = 0; i < args.elements; ++i)
    args.y[i] = args.cap * std::tanh(args.x[i] / args.cap);
}

void softcap_grad(const SoftcapGradArgs& args) {
  for (int64_t i = 0; i < args.elements; ++i) {
    const double t = args.y[i] / args.cap;
    args.d_x[i] = args.d_y[i] * (1 - t * t);
  }
}

void dropout(const DropoutArgs& args) {
  // The mask must be the kernel's, so the rate is rounded to f32 as there.
  const double rate = static_cast<float>(args.rate);
  const double threshold = rate * 0x1p32;
  for (int64_t i = 0; i < args.elements; ++i) {
    const uint64_t element = args.first_element + static_cast<uint64_t>(i);
    const uint64_t block = element / 4;
    const PhiloxBlock words = philox4x32(
        args.key, {static_cast<uint32_t>(block), static_cast<uint32_t>(block >> 32),
                   static_cast<uint32_t>(args.step), static_cast<uint32_t>(args.step >> 32)});
    const bool kept = words[element % 4] >= threshold;
    args.y[i] = kept ? args.x[i] / (1 - rate) : 0;
  }
}

}  // namespace ashlar::kernels::ref
