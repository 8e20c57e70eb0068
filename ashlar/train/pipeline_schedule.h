// The pipeline schedule of a run: a generator's, by name, or a file's in the text form
// (schedule/text.h), for the microbatches that gradient accumulation makes of a step.
#pragma once

#include "ashlar/schedule/schedule.h"
#include "ashlar/train/config.h"

#include <cstdint>

namespace ashlar::train {

// That a rank computes in a step.
int64_t microbatches(const TrainConfig& config);

// Ready to run on mesh.pipe ranks. Throws UsageError naming the key, and of a file line and column.
schedule::Schedule pipeline_schedule(const TrainConfig& config);

}  // namespace ashlar::train
