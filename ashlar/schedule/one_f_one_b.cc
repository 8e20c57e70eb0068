#include "ashlar/schedule/generators.h"

#include <algorithm>

namespace ashlar::schedule {

Schedule one_f_one_b(int ranks, int microbatches) {
  Schedule schedule = empty_schedule("1f1b", StageMap::linear(ranks), microbatches);
  for (int rank = 0; rank < ranks; ++rank) {
    InstructionList& list = schedule.ranks[static_cast<size_t>(rank)];
    int next = 0;  // forward
    while (next < std::min(ranks - rank, microbatches)) list.push_back(forward(next++));
    for (int k = 0; k < microbatches; ++k) {
      list.push_back(backward(k));
      if (next < microbatches) list.push_back(forward(next++));
    }
  }
  return schedule;
}

}  // namespace ashlar::schedule
