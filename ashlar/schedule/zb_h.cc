#include "ashlar/schedule/generators.h"

#include <algorithm>

namespace ashlar::schedule {
namespace {

// Rank i runs `ahead` forwards before its first B, and its W `lag` microbatches behind its B.
void fill(InstructionList& list, int microbatches, int ahead, int lag) {
  int next_forward = 0, next_weight = 0;
  while (next_forward < std::min(ahead, microbatches)) list.push_back(forward(next_forward++));
  for (int k = 0; k < microbatches; ++k) {
    list.push_back(input_grad(k));
    if (k >= lag) list.push_back(weight_grad(next_weight++));
    if (next_forward < microbatches) list.push_back(forward(next_forward++));
  }
  while (next_weight < microbatches) list.push_back(weight_grad(next_weight++));
}

}  // namespace

Schedule zb_h1(int ranks, int microbatches) {
  Schedule schedule = empty_schedule("zb-h1", StageMap::linear(ranks), microbatches);
  for (int i = 0; i < ranks; ++i) {
    fill(schedule.ranks[static_cast<size_t>(i)], microbatches, ranks - i, i);
  }
  return schedule;
}

Schedule zb_h2(int ranks, int microbatches) {
  Schedule schedule = empty_schedule("zb-h2", StageMap::linear(ranks), microbatches);
  for (int i = 0; i < ranks; ++i) {
    fill(schedule.ranks[static_cast<size_t>(i)], microbatches, 2 * (ranks - i) - 1, 2 * i);
  }
  return schedule;
}

}  // namespace ashlar::schedule
