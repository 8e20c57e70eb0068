// The run of small_training.h through a pipeline, its ranks as threads, in double or with the
// kernels, with data ranks beside it or without.
#pragma once

#include "ashlar/comm/counters.h"
#include "ashlar/passes/recompute.h"
#include "ashlar/schedule/schedule.h"
#include "tests/runtime/small_training.h"

#include <vector>

namespace ashlar::testing {

enum class Arithmetic : uint8_t { kDouble, kKernels };

struct PipelineLayout {
  int data = 1;  // each data rank has as many microbatches as the schedule, in turn
  passes::Recompute recompute = passes::Recompute::kNone;
  bool optimistic = false;  // updates before the norm of all ranks is known
  bool ahead = false;       // and begins the next step; behind the last one too
};

struct PipelinedResult {
  TrainedResult trained;
  std::vector<comm::Traffic> sent;  // messages of each rank, all steps
  int copies = 0;                   // of parameters and moments, beside the owners of record
  bool copies_equal = true;         // bit by bit, after the last step
  std::vector<int> rollbacks;       // of each rank
  std::vector<int> ahead;           // of each rank: forwards of the next step
  int64_t heap_calls = 0;           // in the last step, where there is one rank
};

// The schedule may lack messages and update.
PipelinedResult train_pipelined(const SmallRun& run, const schedule::Schedule& schedule,
                                Arithmetic arithmetic, const PipelineLayout& layout = {});

// Small in every way but the layers, of which each stage gets at least one.
SmallModelOptions narrow_model(int stages);
// Of such a model, with microbatches of sequences of these lengths.
SmallRun even_run(const schedule::Schedule& schedule, const std::vector<int32_t>& lengths);

// ≡ of the methods' table: `tolerance` relative to each loss, norm and tensor.
void expect_equal(const TrainedResult& found, const TrainedResult& wanted, double tolerance);

}  // namespace ashlar::testing
