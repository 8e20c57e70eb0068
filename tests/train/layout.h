// Trains a small model on some layout of ranks (threads of this process) and on one rank, in double
// through the scalar references and in float through the kernels: what every parallel method is
// held to.
#pragma once

#include "ashlar/comm/counters.h"
#include "tests/train/layout_batch.h"
#include "tests/train/layout_runner.h"

#include <map>
#include <string>
#include <vector>

namespace ashlar::train::testing {

struct LayoutResult {
  std::vector<double> losses, norms;                          // a step
  std::vector<double> aux_losses;                             // 0 without experts
  std::map<std::string, std::vector<double>> parameters;      // whole, behind the last step
  std::map<std::string, std::vector<double>> squares;         // mean square gradients, AdamW's v
  std::vector<comm::Counters> traffic;                        // a rank, of all steps
  std::vector<std::map<graph::VariableKind, int64_t>> bytes;  // a rank, of its Variables
  std::vector<int64_t> arena_bytes;                           // a rank, of kernels
  std::vector<int64_t> device_bytes;                          // a rank, at most: all it holds
  std::vector<graph::StandIns> stand_ins;                     // a rank, in the arena
};

// Puts a rank's part of a parameter where it belongs in the whole.
void place(const graph::Variable& variable, const std::vector<double>& part,
           std::vector<double>& whole);

LayoutResult run_layout(const LayoutJob& job, const Layout& layout, Arithmetic arithmetic);

// ≡ of the methods' table: losses and norms to `loss` relative, parameters to `parameter` of their
// tensor's norm, but for elements whose gradient is below `gradient`.
struct Tolerance {
  double loss, parameter, gradient;
};
inline constexpr Tolerance kDoubleTolerance{1e-10, 1e-10, 1e-12}, kFloatTolerance{1e-5, 1e-5, 1e-6};
void expect_equal(const LayoutResult& found, const LayoutResult& wanted, const Tolerance& tolerance,
                  const std::string& what);

}  // namespace ashlar::train::testing
