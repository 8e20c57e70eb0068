// What a rank of a pipeline takes, known before it runs: the memory of its chunks and of messages,
// and, by going through its list of the schedule with a communicator that counts, what it sends.
#pragma once

#include "ashlar/kernels/table.h"
#include "ashlar/plan/graph_cost.h"
#include "ashlar/train/pipeline_graphs.h"
#include "ashlar/train/ranks.h"

#include <cstdint>
#include <vector>

namespace ashlar::train {

struct PipelinePlan {
  int64_t bytes = 0;          // of values, scratch, slots and received messages
  int64_t updated_bytes = 0;  // of what the update writes
  plan::SentByAxis sent;      // in a step; nothing where the schedule is none of training
};

struct PlannedChunks {
  const std::vector<graph::Stage>& chunks;  // of the rank, as the schedule numbers them
  const schedule::Schedule& schedule;
  const Ranks& ranks;
  const graph::Bindings& max;
  const graph::Bindings& bindings;        // of each microbatch
  const std::vector<int32_t>& row_start;  // the same
  const kernels::KernelTable& table;
  int threads = 1;
  bool optimistic = false;
  int node_ranks = 0;  // comm.node_ranks
};
PipelinePlan plan_pipeline(const PlannedChunks& of);

}  // namespace ashlar::train
