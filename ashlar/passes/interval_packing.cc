#include "ashlar/passes/interval_packing.h"

#include <algorithm>
#include <numeric>

namespace ashlar::passes {

int64_t pack_intervals(std::vector<Interval>& intervals, int64_t alignment) {
  std::vector<size_t> order(intervals.size());
  std::iota(order.begin(), order.end(), size_t{0});
  std::ranges::stable_sort(
      order, [&](size_t a, size_t b) { return intervals[a].bytes > intervals[b].bytes; });

  int64_t total = 0;
  std::vector<const Interval*> placed;  // by ascending offset
  for (const size_t i : order) {
    Interval& interval = intervals[i];
    const int64_t bytes = (interval.bytes + alignment - 1) / alignment * alignment;
    int64_t offset = 0;
    for (const Interval* other : placed) {
      if (other->last < interval.first || interval.last < other->first) continue;
      if (other->offset - offset >= bytes) break;  // the gap before it is large enough
      const int64_t other_bytes = (other->bytes + alignment - 1) / alignment * alignment;
      offset = std::max(offset, other->offset + other_bytes);
    }
    interval.offset = offset;
    total = std::max(total, offset + bytes);
    const auto place = std::ranges::upper_bound(
        placed, offset, {}, [](const Interval* other) { return other->offset; });
    placed.insert(place, &interval);
  }
  return total;
}

}  // namespace ashlar::passes
