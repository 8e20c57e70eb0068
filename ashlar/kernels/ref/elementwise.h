// Activations, gated products, sums, scaling, soft caps and dropout in double: the oracle of
// ../elementwise.kernel.cc and the engine of fp64 runs. Fields mean what they mean in ../args.h.
#pragma once

#include "ashlar/kernels/args.h"

#include <cstdint>

namespace ashlar::kernels::ref {

double activate(Activation activation, double x);
double activate_grad(Activation activation, double x);  // f'(x)

struct ActivationArgs {  // y = f(x)
  int64_t elements = 0;
  Activation activation = Activation::kGeluTanh;
  const double* x = nullptr;
  double* y = nullptr;
};
struct ActivationGradArgs {  // d_x = d_y f'(x)
  int64_t elements = 0;
  Activation activation = Activation::kGeluTanh;
  const double* x = nullptr;
  const double* d_y = nullptr;
  double* d_x = nullptr;
};
struct GatedArgs {  // out = f(gate) * up
  int64_t rows = 0, width = 0;
  Activation activation = Activation::kSilu;
  const double* gate = nullptr;
  const double* up = nullptr;
  int64_t gate_stride = 0, up_stride = 0;
  double* out = nullptr;  // [T,C] contiguous
};
struct GatedGradArgs {
  GatedArgs forward;  // out unused
  const double* d_out = nullptr;
  double* d_gate = nullptr;
  double* d_up = nullptr;
};
struct AddArgs {  // y = a + b
  int64_t elements = 0;
  const double* a = nullptr;
  const double* b = nullptr;
  double* y = nullptr;
};
struct ScaleArgs {  // y = factor x
  int64_t elements = 0;
  double factor = 1;
  const double* x = nullptr;
  double* y = nullptr;
};
struct SoftcapArgs {  // y = cap tanh(x / cap) (Gemma 2, section 2)
  int64_t elements = 0;
  double cap = 0;
  const double* x = nullptr;
  double* y = nullptr;
};
struct SoftcapGradArgs {  // from the result y
  int64_t elements = 0;
  double cap = 0;
  const double* y = nullptr;
  const double* d_y = nullptr;
  double* d_x = nullptr;
};
struct DropoutArgs {  // the same mask as the kernel's, which depends on no dtype
  int64_t elements = 0;
  double rate = 0;
  uint64_t key = 0, step = 0, first_element = 0;
  const double* x = nullptr;
  double* y = nullptr;
};

void activation(const ActivationArgs& args);
void activation_grad(const ActivationGradArgs& args);
void gated(const GatedArgs& args);
void gated_grad(const GatedGradArgs& args);
void add(const AddArgs& args);
void scale(const ScaleArgs& args);
void softcap(const SoftcapArgs& args);
void softcap_grad(const SoftcapGradArgs& args);
void dropout(const DropoutArgs& args);

}  // namespace ashlar::kernels::ref
