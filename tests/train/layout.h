// Trains a small model on some layout of ranks (threads of this process) and on one rank, in double
// through the scalar references and in float through the kernels: what every parallel method is
// held to. The batches are made here: documents of uneven length, some targets that do not count.
#pragma once

#include "ashlar/comm/counters.h"
#include "ashlar/train/training_step.h"

#include <map>
#include <string>
#include <vector>

namespace ashlar::train::testing {

struct LayoutJob {
  models::DecoderConfig model;
  UpdateRule update = {};
  int64_t batch = 8, seq = 12;  // rows of the global batch, tokens of a row
  int64_t microbatches = 1;     // of a rank
  int64_t steps = 20;
  double lr = 3e-3;
  uint64_t seed = 5;
};

struct Layout {
  MeshSizes mesh = {};
  int zero = 0;
  bool sequence = false;
  passes::ContextParallel context = passes::ContextParallel::kRing;
  passes::Recompute recompute = passes::Recompute::kNone;
  DType dtype = DType::kF32;
  std::string str() const;
};

struct LayoutResult {
  std::vector<double> losses, norms;                          // a step
  std::map<std::string, std::vector<double>> parameters;      // whole, behind the last step
  std::map<std::string, std::vector<double>> squares;         // mean square gradients, AdamW's v
  std::vector<comm::Counters> traffic;                        // a rank, of all steps
  std::vector<std::map<graph::VariableKind, int64_t>> bytes;  // a rank, of its Variables
};

enum class Arithmetic { kDouble, kKernels };
LayoutResult run_layout(const LayoutJob& job, const Layout& layout, Arithmetic arithmetic);

// ≡ of the methods' table: losses and norms to `loss` relative, parameters to `parameter` of their
// tensor's norm, but for elements whose gradient is below `gradient`.
struct Tolerance {
  double loss, parameter, gradient;
};
inline constexpr Tolerance kDoubleTolerance{1e-10, 1e-10, 1e-12}, kFloatTolerance{1e-5, 1e-5, 1e-6};
void expect_equal(const LayoutResult& found, const LayoutResult& wanted, const Tolerance& tolerance,
                  const std::string& what);

// Small models of both families.
models::DecoderConfig small_llama();  // grouped queries, SwiGLU, rotary
models::DecoderConfig small_gpt2();   // tied head, biases, learned positions, layer norm

}  // namespace ashlar::train::testing
