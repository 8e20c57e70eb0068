#include "ashlar/schedule/generators.h"

namespace ashlar::schedule {

// Backwards go in the order of the forwards, not in reverse: gradients are then added in the same
// order as in every other schedule.
Schedule gpipe(int ranks, int microbatches) {
  Schedule schedule = empty_schedule("gpipe", StageMap::linear(ranks), microbatches);
  for (InstructionList& list : schedule.ranks) {
    for (int k = 0; k < microbatches; ++k) list.push_back(forward(k));
    for (int k = 0; k < microbatches; ++k) list.push_back(backward(k));
  }
  return schedule;
}

}  // namespace ashlar::schedule
