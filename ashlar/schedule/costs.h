// What the instructions of a schedule cost: seconds on a rank, bytes in its memory and on its
// links.
#pragma once

#include "ashlar/schedule/schedule.h"
#include "ashlar/sim/link.h"
#include "ashlar/sim/processor.h"
#include "ashlar/sim/tagged_arena.h"

#include <cstdint>
#include <vector>

namespace ashlar::schedule {

// What one microbatch costs on one stage, seconds and bytes. BW takes backward + weight.
struct StageCost {
  double forward = 1, backward = 1, weight = 1;
  int64_t saved_until_backward = 0, saved_until_weight = 0;  // filled by F, freed after B, W
  int64_t weights = 0;                                       // of the stage, not per microbatch
  int64_t message = 0;  // bytes of its activation, and of the gradient that comes back for it
};

struct Costs {
  std::vector<StageCost> stages;  // by stage of the model
  sim::LinkSpec link;             // from rank to rank; without a latency and bandwidth, no time
  double gather = 0;              // of one chunk's weights: the rank waits
  double reduce = 0;  // of one chunk's gradients: one after another, beside what the rank computes
  double step = 0;
  double processors = sim::Processor::kEnough;  // that the ranks share, each one at most
  int64_t memory = sim::TaggedArena::kNoCap;    // per rank; going over it is an Error
  sim::LinkSpec host;                           // evict and load, each way

  // Throws unless there is a cost for each stage, and none is negative.
  void check(const Schedule& schedule) const;
};
// The same for each stage.
Costs uniform_costs(const Schedule& schedule, const StageCost& cost = {});

}  // namespace ashlar::schedule
