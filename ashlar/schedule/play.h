// Plays a schedule on simulated time: the same lists that the executor runs, with given costs in
// place of work. Ranks run their lists in order; sends are buffered and go over one link for each
// ordered pair of ranks; a receive waits; saved values take memory of a virtual device.
#pragma once

#include "ashlar/schedule/schedule.h"
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
};
// The same for each stage.
Costs uniform_costs(const Schedule& schedule, const StageCost& cost = {});

struct Span {
  Instruction instruction;
  double start = 0, end = 0;
};
struct Transfer {
  int from = 0, to = 0;  // ranks
  Instruction send;
  double start = 0, end = 0;  // handed over, arrived
};

struct RankTimeline {
  std::vector<Span> spans;  // all but sends, in order; a receive spans what the rank waited for it
  double busy = 0;          // computing
  double first_start = 0, last_end = 0;  // of computing
  int peak_until_backward = 0;           // (microbatch, chunk) pairs between F and the end of B
  int peak_until_weight = 0;             // and the end of W
  double peak_microbatches = 0;  // peak_until_weight in microbatches on the rank's whole share
  int64_t peak_bytes = 0;
};

struct Timeline {
  std::vector<RankTimeline> ranks;
  std::vector<Transfer> transfers;
  double makespan = 0;

  double bubble() const;             // share of makespan x ranks not spent computing
  double bubble_over_ideal() const;  // that time over the time spent computing
  // The most that a rank idles between its own first start and last end.
  double idle() const;
  double peak_microbatches() const;  // of the fullest rank
};

// Adds messages if there are none. Throws what check() throws, and where memory does not suffice.
Timeline play(const Schedule& schedule, const Costs& costs);

}  // namespace ashlar::schedule
