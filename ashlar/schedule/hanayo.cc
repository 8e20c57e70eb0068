#include "ashlar/base/error.h"
#include "ashlar/schedule/generators.h"
#include "ashlar/schedule/greedy.h"

#include <numeric>
#include <vector>

namespace ashlar::schedule {

// Held to the memory of p microbatches, as 1F1B's first rank has.
Schedule hanayo(int ranks, int microbatches, int waves) {
  ASHLAR_CHECK(waves > 0, "schedule hanayo: {} waves, at least 1 is needed", waves);
  Schedule schedule = empty_schedule("hanayo", StageMap::waves(ranks, waves), microbatches);
  std::vector<int> all(static_cast<size_t>(microbatches));
  std::iota(all.begin(), all.end(), 0);
  fill_greedily(schedule, {all}, {.forward = 1, .backward = 2}, 2 * waves * ranks);
  return schedule;
}

}  // namespace ashlar::schedule
