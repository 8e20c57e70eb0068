// The last pass: splits a graph into Programs by phase and gives every value a place before
// anything runs, so that peak memory is an exact number and the executor never allocates. Values
// reuse each other's space as soon as their last reader has run, in place where an op allows it.
#pragma once

#include "ashlar/graph/program.h"

namespace ashlar::passes {

struct PlanOptions {
  graph::Bindings max;  // the largest value of each symbol
  // How many microbatches are between forward and backward at once. One: saved values share the
  // arena with the rest, and each forward is followed by its backward.
  int slots = 1;
  // Of how many at once the weight gradients are still to come; then backward is two Programs,
  // "input_grad" (B) and "weight_grad" (W), and what W reads has slots of its own. 0: one Program
  // "backward".
  int weight_slots = 0;
  // Other graphs compute in the same arena in between: no value of one Program reaches another
  // there, even with one slot, and results last until the next run only.
  bool shares_arena = false;
  const kernels::KernelTable* table = nullptr;  // for the kernels' scratch
  int threads = 1;
};

// Programs of a training graph: forward (F), backward (B, W), reduce (R), norm (N), update (U); of
// an inference graph: forward. Phases without nodes are left out.
graph::PlannedPrograms plan_memory(const graph::Graph& graph, const PlanOptions& options);

}  // namespace ashlar::passes
