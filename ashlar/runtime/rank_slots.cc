#include "ashlar/runtime/rank_slots.h"

#include <algorithm>

namespace ashlar::runtime {
namespace {

using schedule::SlotPool;

int64_t bytes_of(const RankSlots& slots, std::span<const graph::PlannedPrograms> plans) {
  int64_t sum = 0, backward = 0, weight = 0;
  for (size_t c = 0; c < plans.size(); ++c) {
    sum += slots.chunks[c].until_backward * plans[c].slot_bytes +
           slots.chunks[c].until_weight * plans[c].weight_slot_bytes;
    backward = std::max(backward, plans[c].slot_bytes);
    weight = std::max(weight, plans[c].weight_slot_bytes);
  }
  if (slots.pool == SlotPool::kChunk) return sum;
  return slots.chunks[0].until_backward * backward + slots.chunks[0].until_weight * weight;
}

}  // namespace

RankSlots choose_slots(const schedule::Schedule& schedule, int rank,
                       std::span<const graph::PlannedPrograms> plans) {
  RankSlots best;
  for (const SlotPool pool : {SlotPool::kChunk, SlotPool::kRank}) {
    schedule::Slots all = assign_slots(schedule, pool);
    const auto at = static_cast<size_t>(rank);
    RankSlots slots{pool, std::move(all.chunks[at]), std::move(all.instructions[at]), 0};
    slots.bytes = bytes_of(slots, plans);
    if (pool == SlotPool::kChunk || slots.bytes < best.bytes) best = std::move(slots);
  }
  return best;
}

}  // namespace ashlar::runtime
