// The runs of layout.h where some ranks are a pipeline: the trainer's chunks under a schedule, with
// the kernels or, in double, through the references.
#pragma once

#include "tests/train/layout.h"

#include <cstdint>
#include <string>
#include <vector>

namespace ashlar::train::testing {

struct PipeLayout {
  Layout layout = {};
  std::string schedule = "1f1b";
  int64_t chunks = 0;  // as parallel.chunks
  bool optimistic = false;
  std::string str() const;
};

struct PipeResult {
  LayoutResult trained;
  int copies = 0;  // tensors that several stages or directions hold, beside the owner's
  // A rank, of the last step, with the kernels: buckets of gradients, and those that left before
  // backward had ended on their chunk.
  std::vector<int> buckets, early_buckets;
};

// The job's microbatches are the schedule's. Copies of a parameter must be equal to the bit.
PipeResult run_pipe_layout(const LayoutJob& job, const PipeLayout& layout, Arithmetic arithmetic);

// The schedule's stages.
int64_t stages_of(const LayoutJob& job, const PipeLayout& layout);

}  // namespace ashlar::train::testing
