// What a rank of a pipeline runs: the stages that the schedule gives it, through all passes, and
// the plans of their memory.
#pragma once

#include "ashlar/graph/stage.h"
#include "ashlar/runtime/pipeline.h"
#include "ashlar/runtime/stage_runner.h"
#include "ashlar/schedule/schedule.h"
#include "ashlar/train/chunk_stores.h"
#include "ashlar/train/training_step.h"

#include <vector>

namespace ashlar::train {

// The chunks of rank `index` of the pipe, as the schedule numbers them, for forward alone. sharded:
// behind shard.
std::vector<graph::Stage> forward_chunks(const passes::ShardedGraph& sharded,
                                         const schedule::StageMap& stages, int index);

// Those of a step, through all passes; spec.schedule is there.
std::vector<graph::Stage> build_chunks(const StepSpec& spec);

// The plans of memory of the chunks.
std::vector<graph::PlannedPrograms> plan_chunk_memory(const std::vector<graph::Stage>& chunks,
                                                      const schedule::Schedule& schedule, int index,
                                                      const graph::Bindings& max,
                                                      const kernels::KernelTable& table,
                                                      int threads);

// The same, the Variables that the stores lack made; chunk c's are in stores[c]. Shadows are as
// they were: shadows.h.
std::vector<runtime::ChunkExecutors::Chunk> plan_chunks(
    const std::vector<graph::Stage>& chunks, const std::vector<runtime::VariableStore*>& stores,
    const schedule::Schedule& schedule, int index, const graph::Bindings& max,
    const kernels::KernelTable& table, int threads);

// What pipeline.h takes; the runners and stages outlive it.
std::vector<runtime::PipelineChunk> parts_of(const std::vector<graph::Stage>& chunks,
                                             const runtime::ChunkExecutors& executors);

}  // namespace ashlar::train
