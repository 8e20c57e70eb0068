// Muon's update of one matrix in double, written as the paper states it.
#pragma once

#include <cstdint>

namespace ashlar::kernels::ref {

struct MuonArgs {
  int64_t rows = 0, cols = 0;
  double* param = nullptr;     // [R,C]
  double* momentum = nullptr;  // [R,C]
  const double* grad = nullptr;
  double grad_scale = 1;
  double lr = 0, beta = 0.95, weight_decay = 0;
  int newton_schulz_steps = 5;
};

void muon(const MuonArgs& args);

}  // namespace ashlar::kernels::ref
