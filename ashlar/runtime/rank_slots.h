// Where the saved values of one rank's chunks lie, by the schedule and by what each chunk saves:
// exact before anything runs.
#pragma once

#include "ashlar/graph/program.h"
#include "ashlar/schedule/slots.h"

#include <span>
#include <vector>

namespace ashlar::runtime {

struct RankSlots {
  schedule::SlotPool pool = schedule::SlotPool::kChunk;
  std::vector<schedule::ChunkSlots> chunks;              // how many each chunk may use
  std::vector<schedule::InstructionSlots> instructions;  // of the rank's list
  int64_t bytes = 0;
};

// Chunks of one size share a pool, since they are seldom full at once; where one saves far more
// than the others, each has its own. The smaller of the two. plans: of each chunk; their own counts
// of slots are not looked at.
RankSlots choose_slots(const schedule::Schedule& schedule, int rank,
                       std::span<const graph::PlannedPrograms> plans);

}  // namespace ashlar::runtime
