#include "ashlar/base/error.h"
#include "ashlar/schedule/generators.h"
#include "ashlar/schedule/greedy.h"

#include <numeric>
#include <vector>

namespace ashlar::schedule {

// The first half of the microbatches goes down the ranks, the second half up. Counted with equal
// forwards and backwards the greedy order is the paper's, and stays so for longer backwards.
Schedule chimera(int ranks, int microbatches) {
  ASHLAR_CHECK(ranks % 2 == 0, "schedule chimera: {} ranks do not pair up in two directions; {} do",
               ranks, multiples_near(ranks, 2));
  ASHLAR_CHECK(microbatches % 2 == 0,
               "schedule chimera: {} microbatches do not halve over two directions; {} do",
               microbatches, multiples_near(microbatches, 2));
  Schedule schedule = empty_schedule("chimera", StageMap::both_ways(ranks), microbatches);
  std::vector<std::vector<int>> halves(2, std::vector<int>(static_cast<size_t>(microbatches / 2)));
  std::iota(halves[0].begin(), halves[0].end(), 0);
  std::iota(halves[1].begin(), halves[1].end(), microbatches / 2);
  fill_greedily(schedule, halves, {.forward = 1, .backward = 1}, ranks);
  return schedule;
}

}  // namespace ashlar::schedule
