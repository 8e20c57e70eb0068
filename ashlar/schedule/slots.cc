#include "ashlar/schedule/slots.h"

#include <algorithm>

namespace ashlar::schedule {
namespace {

constexpr int kNone = -1;

// Numbered places, each free or held by a microbatch.
class Pool {
 public:
  int take(int microbatch) {
    const auto free = std::ranges::find(holders_, kNone);
    const auto slot = static_cast<int>(free - holders_.begin());
    if (free == holders_.end()) holders_.push_back(kNone);
    holders_[static_cast<size_t>(slot)] = microbatch;
    return slot;
  }
  int find(int microbatch) const {
    const auto slot = std::ranges::find(holders_, microbatch);
    return slot == holders_.end() ? kNone : static_cast<int>(slot - holders_.begin());
  }
  int give_back(int microbatch) {
    const int slot = find(microbatch);
    if (slot != kNone) holders_[static_cast<size_t>(slot)] = kNone;
    return slot;
  }
  int size() const { return static_cast<int>(holders_.size()); }

 private:
  std::vector<int> holders_;
};

struct ChunkPools {
  Pool until_backward, until_weight;
  std::vector<bool> backward_done;  // by microbatch
};

InstructionSlots assign(ChunkPools& pools, const Instruction& instruction) {
  const int k = instruction.microbatch;
  switch (instruction.kind) {
    case Kind::kForward:
      return {pools.until_backward.take(k), pools.until_weight.take(k)};
    case Kind::kInputGrad:
      pools.backward_done[static_cast<size_t>(k)] = true;
      return {pools.until_backward.give_back(k), pools.until_weight.find(k)};
    case Kind::kWeightGrad:
      return {kNone, pools.until_weight.give_back(k)};
    case Kind::kBackward:
      return {pools.until_backward.give_back(k), pools.until_weight.give_back(k)};
    case Kind::kEvict:
      if (k < 0) return {};
      return {pools.until_backward.give_back(k), pools.until_weight.give_back(k)};
    case Kind::kLoad:
      if (k < 0) return {};
      return {pools.backward_done[static_cast<size_t>(k)] ? kNone : pools.until_backward.take(k),
              pools.until_weight.take(k)};
    default:
      return {};
  }
}

}  // namespace

bool splits_backward(const Schedule& schedule, int rank, int chunk) {
  return std::ranges::any_of(
      schedule.ranks[static_cast<size_t>(rank)], [chunk](const Instruction& instruction) {
        return instruction.kind == Kind::kInputGrad && instruction.chunk == chunk;
      });
}

Slots assign_slots(const Schedule& schedule) {
  Slots slots;
  for (int rank = 0; rank < schedule.stages.ranks(); ++rank) {
    ChunkPools empty;
    empty.backward_done.resize(static_cast<size_t>(schedule.microbatches));
    std::vector<ChunkPools> pools(schedule.stages.chunks(rank).size(), empty);
    auto& instructions = slots.instructions.emplace_back();
    for (const Instruction& each : schedule.ranks[static_cast<size_t>(rank)]) {
      instructions.push_back(assign(pools[static_cast<size_t>(each.chunk)], each));
    }
    auto& chunks = slots.chunks.emplace_back();
    for (const ChunkPools& pool : pools) {
      chunks.push_back({pool.until_backward.size(), pool.until_weight.size()});
    }
  }
  return slots;
}

}  // namespace ashlar::schedule
