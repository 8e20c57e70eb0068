// The run of small_training.h through a pipeline, its ranks as threads, in double or with the
// kernels.
#pragma once

#include "ashlar/comm/counters.h"
#include "ashlar/schedule/schedule.h"
#include "tests/runtime/small_training.h"

#include <vector>

namespace ashlar::testing {

enum class Arithmetic : uint8_t { kDouble, kKernels };

struct PipelinedResult {
  TrainedResult trained;
  std::vector<comm::Traffic> sent;  // messages of each rank, all steps
  int copies = 0;                   // of parameters and moments, beside the owners of record
  bool copies_equal = true;         // bit by bit, after the last step
};

// The schedule may lack messages and update.
PipelinedResult train_pipelined(const SmallRun& run, const schedule::Schedule& schedule,
                                Arithmetic arithmetic);

}  // namespace ashlar::testing
