// Packs intervals of time, each with a size, into one address range: no two that are alive together
// overlap. Largest first, each at the lowest offset that fits (Pisarchyk and Lee 2020, "greedy by
// size"). Sizes are rounded up to `alignment`.
#pragma once

#include <cstdint>
#include <vector>

namespace ashlar::passes {

struct Interval {
  int64_t bytes = 0;
  int first = 0, last = 0;  // inclusive
  int64_t offset = -1;      // result
};

// Sets the offsets and returns the size of the range.
int64_t pack_intervals(std::vector<Interval>& intervals, int64_t alignment = 64);

}  // namespace ashlar::passes
