// Plays a schedule on simulated time: the same lists that the executor runs, with given costs in
// place of work. Ranks run their lists in order; sends are buffered and go over one link for each
// ordered pair of ranks; a receive waits; saved values take memory of a virtual device.
#pragma once

#include "ashlar/schedule/schedule.h"
#include "ashlar/schedule/timeline.h"
#include "ashlar/sim/link.h"
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
  int64_t memory = sim::TaggedArena::kNoCap;  // per rank; going over it is an Error
  sim::LinkSpec host;                         // evict and load, each way

  // Throws unless there is a cost for each stage, and none is negative.
  void check(const Schedule& schedule) const;
};
// The same for each stage.
Costs uniform_costs(const Schedule& schedule, const StageCost& cost = {});

// Adds messages if there are none. Throws what check() throws, and where memory does not suffice.
Timeline play(const Schedule& schedule, const Costs& costs);

}  // namespace ashlar::schedule
