// How many microbatches' saved values each chunk must have room for, and which room each uses. A
// forward fills a slot for what backward (B) reads and one for what the weight gradient (W) reads;
// each is free again after its reader. An evict frees both, a load takes new ones.
#pragma once

#include "ashlar/schedule/schedule.h"

#include <cstdint>
#include <vector>

namespace ashlar::schedule {

struct ChunkSlots {
  int until_backward = 0, until_weight = 0;  // slots needed
  bool operator==(const ChunkSlots&) const = default;
};

// The slots that an instruction fills (F, load), reads (B, W, BW) or empties (evict); -1: none.
struct InstructionSlots {
  int until_backward = -1, until_weight = -1;
  bool operator==(const InstructionSlots&) const = default;
};

struct Slots {
  std::vector<std::vector<ChunkSlots>> chunks;              // [rank][chunk]
  std::vector<std::vector<InstructionSlots>> instructions;  // [rank], as schedule.ranks
};

// Whether B and W of a chunk ever run apart. Where they do not, one slot serves both.
bool splits_backward(const Schedule& schedule, int rank, int chunk);

// Whether each chunk of a rank has slots of its own, or all take from one pool, of as many slots as
// the rank holds at once; then a slot must have room for any chunk.
enum class SlotPool : uint8_t { kChunk, kRank };

// The lowest free slot is taken first, so the counts are the least possible. The schedule must pass
// check().
Slots assign_slots(const Schedule& schedule, SlotPool pool = SlotPool::kChunk);

}  // namespace ashlar::schedule
