// What a run takes of every rank, known before it starts: memory by parts, bytes along each axis,
// FLOPs and the time of a step. The figures are those of the graphs and plans of memory that
// training itself makes; nothing of the model's size is allocated.
#pragma once

#include "ashlar/kernels/table.h"
#include "ashlar/plan/graph_cost.h"
#include "ashlar/plan/machine_rates.h"
#include "ashlar/schedule/costs.h"
#include "ashlar/schedule/timeline.h"
#include "ashlar/train/config.h"
#include "ashlar/train/memory_plan.h"
#include "ashlar/train/planned_values.h"

#include <string>
#include <vector>

namespace ashlar::train {

struct RankPlan {
  MemoryPlan memory;  // the parts that the run's record has
  // One run of each phase, of each chunk of a pipeline; else of the one graph.
  std::vector<plan::GraphCost> chunks;
  plan::PhaseCost step;       // of all microbatches and the update
  int64_t gathered_once = 0;  // bytes sent for parameters that only forward gathers, a microbatch
};

struct RunPlan {
  models::DecoderConfig model;
  Mesh mesh;
  int threads = 1;                                       // of a rank
  int64_t parameters = 0, tokens = 0, microbatches = 1;  // of the model; of a step; of a rank
  std::vector<RankPlan> ranks;
  std::vector<PlannedValue> variables;  // and the tokens of a batch
  // The step on simulated time: a pipeline's ranks, or the one list that all ranks run.
  schedule::Schedule schedule;
  schedule::Timeline timeline;
  int timed_ops = 0;      // distinct ones that were run; 0: time goes by rates
  double bubble = 0;      // of the microbatches, the update left out
  double processors = 1;  // of its machine for each rank, at most 1
  int machines = 1;
  double one_level_seconds = 0;  // where sums go in two levels: a step with sums in one
  double step_seconds() const { return timeline.makespan; }
  // Throws UsageError where a rank would hold more than `cap` bytes; 0: no cap.
  void check_memory(int64_t cap) const;
};

// What a rank of such a run does, for measuring how fast this machine is at it. on_a_host: ranks;
// 0: all.
plan::RankWork rank_work(const TrainConfig& config, const models::DecoderConfig& model,
                         int on_a_host = 0);

// Throws what training would throw for such a configuration. All ranks are on this machine, but
// where pricing has a network: then its nodes are machines like this one.
RunPlan plan_run(const TrainConfig& config, const kernels::KernelTable& table,
                 const plan::Pricing& pricing = {});

}  // namespace ashlar::train
