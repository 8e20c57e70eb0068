#include "ashlar/schedule/slots.h"

#include <algorithm>

namespace ashlar::schedule {
namespace {

constexpr int kNone = -1;

// Numbered places, each free or held by a microbatch on a chunk.
class Pool {
 public:
  struct Holder {
    int microbatch = kNone, chunk = kNone;
    bool operator==(const Holder&) const = default;
  };
  int take(const Holder& holder) {
    const int free = find({});
    if (free == kNone) holders_.emplace_back();
    const int slot = free == kNone ? size() - 1 : free;
    holders_[static_cast<size_t>(slot)] = holder;
    return slot;
  }
  int find(const Holder& holder) const {
    const auto slot = std::ranges::find(holders_, holder);
    return slot == holders_.end() ? kNone : static_cast<int>(slot - holders_.begin());
  }
  int give_back(const Holder& holder) {
    const int slot = find(holder);
    if (slot != kNone) holders_[static_cast<size_t>(slot)] = {};
    return slot;
  }
  int size() const { return static_cast<int>(holders_.size()); }

 private:
  std::vector<Holder> holders_;
};

struct Pools {
  Pool until_backward, until_weight;
};

// backward_done: of the chunk, by microbatch.
InstructionSlots assign(Pools& pools, std::vector<bool>& backward_done,
                        const Instruction& instruction) {
  const Pool::Holder k{instruction.microbatch, instruction.chunk};
  const auto at = static_cast<size_t>(instruction.microbatch);
  switch (instruction.kind) {
    case Kind::kForward:
      return {pools.until_backward.take(k), pools.until_weight.take(k)};
    case Kind::kInputGrad:
      backward_done[at] = true;
      return {pools.until_backward.give_back(k), pools.until_weight.find(k)};
    case Kind::kWeightGrad:
      return {kNone, pools.until_weight.give_back(k)};
    case Kind::kBackward:
      return {pools.until_backward.give_back(k), pools.until_weight.give_back(k)};
    case Kind::kEvict:
      if (k.microbatch < 0) return {};
      return {pools.until_backward.give_back(k), pools.until_weight.give_back(k)};
    case Kind::kLoad:
      if (k.microbatch < 0) return {};
      return {backward_done[at] ? kNone : pools.until_backward.take(k), pools.until_weight.take(k)};
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

Slots assign_slots(const Schedule& schedule, SlotPool pool) {
  Slots slots;
  for (int rank = 0; rank < schedule.stages.ranks(); ++rank) {
    const size_t count = schedule.stages.chunks(rank).size();
    std::vector<Pools> pools(pool == SlotPool::kRank ? 1 : count);
    const auto of = [&](size_t chunk) -> Pools& { return pools[chunk % pools.size()]; };
    std::vector<std::vector<bool>> done(
        count, std::vector<bool>(static_cast<size_t>(schedule.microbatches)));
    auto& instructions = slots.instructions.emplace_back();
    for (const Instruction& each : schedule.ranks[static_cast<size_t>(rank)]) {
      const auto chunk = static_cast<size_t>(each.chunk);
      instructions.push_back(assign(of(chunk), done[chunk], each));
    }
    auto& chunks = slots.chunks.emplace_back();
    for (size_t chunk = 0; chunk < count; ++chunk) {
      chunks.push_back({of(chunk).until_backward.size(), of(chunk).until_weight.size()});
    }
  }
  return slots;
}

}  // namespace ashlar::schedule
