// Where a start of a run begins: at step 1, or behind the newest whole checkpoint of run.dir.
#pragma once

#include "ashlar/base/isa_tier.h"
#include "ashlar/train/checkpoint.h"
#include "ashlar/train/config.h"

#include <cstdint>
#include <string>

namespace ashlar::train {

struct RunStart {
  std::string checkpoint;  // empty: at step 1
  TrainerState state;      // of the checkpoint

  bool resumes() const { return !checkpoint.empty(); }
  int64_t first_step() const { return state.step + 1; }
};

// Says in the log what was found; all ranks of a job find the same. Throws Error where the folder
// holds checkpoints and is not to be gone on with.
RunStart find_start(const TrainConfig& config, IsaTier tier, comm::Communicator* comm = nullptr);

// Throws Error when the checkpoint holds another model than the configuration describes, or was
// trained by another optimizer.
void check_same_training(const RunStart& start, const models::DecoderConfig& model,
                         const std::string& optimizer);

}  // namespace ashlar::train
