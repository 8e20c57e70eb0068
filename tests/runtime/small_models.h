// Small graphs that the tests of passes and runtime share: a whole decoder block with a loss, with
// batch data to run it on.
#pragma once

#include "ashlar/graph/graph.h"
#include "ashlar/runtime/executor.h"
#include "ashlar/runtime/reference_run.h"

#include <cstdint>
#include <vector>

namespace ashlar::testing {

struct SmallModelOptions {
  bool layer_norm = false;  // GPT-2 style: layer norm, biases, plain GELU; else LLaMA style
  int64_t width = 24, heads = 3, kv_heads = 1, ffn = 40, vocab = 31, layers = 2;
  double dropout = 0;
  bool tied = false;
  int64_t experts = 0;  // > 0: mixtures of so many experts, two a token
  double balance = 0;   // > 0: its coefficient; adds the input aux_scale and the output aux_loss
};

// Inputs: tokens, positions, row_start, targets, loss_scale; output: loss.
graph::Graph small_model(const SmallModelOptions& options);

// Two sequences of different lengths, some targets masked.
struct SmallBatch {
  std::vector<int32_t> tokens, positions, row_start, targets;
  float scale = 0;  // 1 / valid tokens
  graph::Bindings bindings;
};
SmallBatch small_batch(const SmallModelOptions& options, std::vector<int32_t> lengths,
                       uint64_t seed);

void set_inputs(runtime::ReferenceRun& run, const SmallBatch& batch);
void bind_inputs(runtime::Executor& executor, const SmallBatch& batch);

}  // namespace ashlar::testing
