// The batches of layout runs, made here: documents of uneven length, some targets that do not
// count, dealt out to the ranks of a layout.
#pragma once

#include "ashlar/sim/tagged_arena.h"
#include "ashlar/train/training_step.h"

#include <cstdint>
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
  int64_t device_bytes = sim::TaggedArena::kNoCap;  // of a rank's virtual device
};

struct Layout {
  MeshSizes mesh = {};
  int zero = 0;
  bool sequence = false;
  passes::ContextParallel context = passes::ContextParallel::kRing;
  passes::Recompute recompute = passes::Recompute::kNone;
  DType dtype = DType::kF32, grad_dtype = DType::kF32;
  int64_t bucket_bytes = 2000;  // of these small models: several

  int64_t data_ranks() const { return mesh.data * mesh.expert; }  // with rows of their own
  int ranks_of_heads() const {                                    // that share the heads
    return mesh.tensor * (context == passes::ContextParallel::kUlysses ? mesh.context : 1);
  }
  std::string str() const;
};

// One microbatch of one rank.
struct LayoutInputs {
  std::vector<int32_t> tokens, positions, targets, row_start;
  std::vector<int32_t> token_types;  // of models that have such
  graph::Bindings bindings;
  uint64_t first_token = 0;
  int64_t whole_tokens = 0;  // of the microbatch, before context and tensor ranks share it
  float aux_scale = 1;       // of the balance of experts
};
LayoutInputs make_inputs(const LayoutJob& job, const Layout& layout, int rank, int64_t step,
                         int64_t microbatch);

// Targets of a step's global batch that count.
int64_t valid_tokens(const LayoutJob& job, int64_t step);

StepSpec spec_of(const LayoutJob& job, const Layout& layout, int rank);

}  // namespace ashlar::train::testing
