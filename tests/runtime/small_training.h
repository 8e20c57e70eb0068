// A whole training graph of a small model: loss, gradients, clipped AdamW; and the trainer's way
// through a step on one rank, which pipelines are held against.
#pragma once

#include "tests/runtime/small_models.h"

#include <map>
#include <string>
#include <vector>

namespace ashlar::testing {

// Adds the input "lr" f32 [1] and the output "grad_norm" f32 [1]. Gradients are summed over the
// ranks of `data`, a few in one op. scaled: they are those of the loss times an input
// "gradient_scale" f32 [1].
graph::Graph small_training(const SmallModelOptions& options, double clip,
                            const comm::Group& data = {}, DType dtype = DType::kF32,
                            bool scaled = false);

// Microbatches of one step, of one scale: 1 / all valid tokens.
std::vector<SmallBatch> small_step(const SmallModelOptions& options,
                                   const std::vector<std::vector<int32_t>>& lengths, uint64_t seed,
                                   int masked = -1);

// What a run of several steps leaves behind.
struct TrainedResult {
  std::vector<double> losses, aux_losses, norms;         // by step
  std::map<std::string, std::vector<double>> gradients;  // of the first step
  std::map<std::string, std::vector<double>> variables;  // parameters and moments, after the last
};

struct SmallRun {
  SmallModelOptions model;
  std::vector<std::vector<int32_t>> lengths;  // of the sequences of each microbatch
  double clip = 1.0;
  float lr = 0.01f;
  int steps = 20;
  int masked = -1;  // a microbatch of which no token counts
  int spoilt = 0;   // a step whose gradients get a NaN, so that no update follows; 0: none
  float loss_scale = 1;
  uint64_t seed = 3;
  DType dtype = DType::kF32;  // of the kernels

  std::vector<SmallBatch> step(int number) const;
  graph::RunState state(int number) const;
  // For microbatches of a balanced mixture.
  float aux_scale() const { return 1.0f / static_cast<float>(lengths.size()); }
  // The largest microbatch.
  graph::Bindings max() const;
};

TrainedResult train_in_double(const SmallRun& run);
TrainedResult train_with_kernels(const SmallRun& run);

}  // namespace ashlar::testing
