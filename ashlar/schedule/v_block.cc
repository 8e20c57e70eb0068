// V-Half and V-Min: one building block, the F and B of a microbatch on all ranks, repeated every
// six slots (F, B, W of two chunks, a slot each). The block's lifespan sets the memory. Then the
// ends, where the neighbours of the repetition are missing, move up into free slots.
#include "ashlar/schedule/generators.h"

#include <algorithm>
#include <array>
#include <map>
#include <set>
#include <tuple>
#include <utility>
#include <vector>

namespace ashlar::schedule {
namespace {

constexpr int kPeriod = 6;

// Slots from rank to rank on the way down and up; backward goes the same two ways. F0 and B1 go
// down, F1 and B0 up. Their sum over p ranks, divided by the period, is the memory in chunks.
struct Steps {
  int down, up;
};

using Slots = std::map<int, Instruction>;  // of one rank

// The slots of F0, F1, B1, B0 of microbatch 0; `wait` more between F1 and B1 at the last stage.
std::array<int, 4> block(int ranks, int rank, Steps steps, int wait) {
  const int last = ranks - 1;
  const int f1 = steps.down * last + 1;            // on the last rank
  const int b1 = f1 + steps.up * last + 1 + wait;  // on the first
  const int b0 = b1 + steps.down * last + 1;       // on the last
  return {steps.down * rank, f1 + steps.up * (last - rank), b1 + steps.down * rank,
          b0 + steps.up * (last - rank)};
}

// The least wait with which repetitions never meet in a slot. Six residues suffice to look at.
int wait_of(int ranks, Steps steps) {
  const auto meets = [&](int wait) {
    for (int rank = 0; rank < ranks; ++rank) {
      std::set<int> residues;
      for (const int slot : block(ranks, rank, steps, wait)) residues.insert(slot % kPeriod);
      if (residues.size() < 4) return true;
    }
    return false;
  };
  int wait = 0;
  while (wait < kPeriod && meets(wait)) ++wait;
  return wait;
}

// Calls visit(slot, instruction) in order of time, each W in the first slot free after its B.
template <typename Visit>
void with_weights(const Slots& slots, Visit visit) {
  std::vector<Instruction> ready;
  size_t next = 0;  // of ready
  int slot = 0;
  for (const auto& [time, instruction] : slots) {
    for (; slot < time && next < ready.size(); ++slot) {
      visit(slot, weight_grad(ready[next].microbatch, ready[next].chunk));
      ++next;
    }
    slot = time + 1;
    visit(time, instruction);
    if (instruction.kind == Kind::kInputGrad) ready.push_back(instruction);
  }
  for (; next < ready.size(); ++slot, ++next) {
    visit(slot, weight_grad(ready[next].microbatch, ready[next].chunk));
  }
}

int peak(const Slots& slots) {
  int held = 0, most = 0;
  with_weights(slots, [&](int, const Instruction& instruction) {
    if (instruction.kind == Kind::kForward) most = std::max(most, ++held);
    if (instruction.kind == Kind::kWeightGrad) --held;
  });
  return most;
}

class VBlock {
 public:
  VBlock(int ranks, int microbatches, Steps steps) : ranks_(ranks) {
    const int wait = wait_of(ranks, steps);
    for (int rank = 0; rank < ranks; ++rank) {
      const auto [f0, f1, b1, b0] = block(ranks, rank, steps, wait);
      Slots& slots = slots_.emplace_back();
      for (int k = 0; k < microbatches; ++k) {
        slots[f0 + kPeriod * k] = forward(k, 0);
        slots[f1 + kPeriod * k] = forward(k, 1);
        slots[b1 + kPeriod * k] = input_grad(k, 1);
        slots[b0 + kPeriod * k] = input_grad(k, 0);
      }
      room_ = std::max(room_, peak(slots));
    }
    first_return_ = block(ranks, 0, steps, wait)[3];
    last_start_ = kPeriod * (microbatches - 1);
    tighten();
  }

  InstructionList list(int rank) const {
    InstructionList list;
    with_weights(slots_[static_cast<size_t>(rank)],
                 [&](int, const Instruction& instruction) { list.push_back(instruction); });
    return list;
  }

 private:
  // In order of time, the instructions before the first microbatch has returned and after the last
  // one has started move to the earliest free slot that its inputs and the memory allow.
  void tighten() {
    struct Placed {
      int slot, rank;
      Instruction instruction;
    };
    std::vector<Placed> all;
    for (int rank = 0; rank < ranks_; ++rank) {
      for (const auto& [slot, instruction] : slots_[static_cast<size_t>(rank)]) {
        all.push_back({slot, rank, instruction});
      }
    }
    std::ranges::sort(all, {}, [](const Placed& each) { return std::pair(each.slot, each.rank); });
    for (const auto& [slot, rank, instruction] : all) {
      int moved = slot;
      if (slot <= first_return_ || slot >= last_start_) moved = earliest(slot, rank, instruction);
      end_[key(rank, instruction)] = moved + 1;
    }
  }

  int earliest(int slot, int rank, const Instruction& instruction) {
    Slots& slots = slots_[static_cast<size_t>(rank)];
    for (int to = inputs_ready(rank, instruction); to < slot; ++to) {
      if (slots.contains(to)) continue;
      slots.erase(slot);
      slots[to] = instruction;
      if (peak(slots) <= room_) return to;
      slots.erase(to);
      slots[slot] = instruction;
    }
    return slot;
  }

  int inputs_ready(int rank, const Instruction& instruction) const {
    const Kind kind = instruction.kind;
    const int microbatch = instruction.microbatch, chunk = instruction.chunk;
    const bool is_forward = kind == Kind::kForward;
    int ready = 0;
    const auto after = [&](int of_rank, Instruction other) {
      if (const auto found = end_.find(key(of_rank, other)); found != end_.end()) {
        ready = std::max(ready, found->second);
      }
    };
    after(rank, {kind, microbatch - 1, chunk});
    if (!is_forward) after(rank, forward(microbatch, chunk));
    const bool goes_down = is_forward == (chunk == 0);
    const int from = goes_down ? rank - 1 : rank + 1;
    if (from >= 0 && from < ranks_) {
      after(from, {kind, microbatch, chunk});
    } else if (from == ranks_) {  // the turn of the V
      after(rank, {kind, microbatch, 1 - chunk});
    }
    return ready;
  }

  using Key = std::tuple<int, bool, int, int>;
  static Key key(int rank, const Instruction& i) {
    return {rank, i.kind == Kind::kForward, i.microbatch, i.chunk};
  }

  int ranks_;
  std::vector<Slots> slots_;
  int room_ = 0;  // chunks in memory
  int first_return_ = 0, last_start_ = 0;
  std::map<Key, int> end_;
};

Schedule v_block(const char* name, int ranks, int microbatches, Steps steps) {
  Schedule schedule = empty_schedule(name, StageMap::waves(ranks, 1), microbatches);
  const VBlock block(ranks, microbatches, steps);
  for (int rank = 0; rank < ranks; ++rank) {
    schedule.ranks[static_cast<size_t>(rank)] = block.list(rank);
  }
  return schedule;
}

}  // namespace

Schedule v_half(int ranks, int microbatches) {
  return v_block("v-half", ranks, microbatches, {.down = 2, .up = 1});
}

Schedule v_min(int ranks, int microbatches) {
  return v_block("v-min", ranks, microbatches, {.down = 1, .up = 1});
}

}  // namespace ashlar::schedule
