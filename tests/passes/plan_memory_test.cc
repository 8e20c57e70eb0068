// Memory plans: no two live values overlap, in-place reuse is sound, the mark is what is touched.
#include "ashlar/passes/plan_memory.h"

#include "ashlar/base/philox.h"
#include "ashlar/passes/interval_packing.h"

#include <gtest/gtest.h>

namespace ashlar::passes {
namespace {

TEST(IntervalPackingTest, LiveIntervalsNeverOverlap) {
  const RandomStream random(1, "intervals");
  for (uint64_t round = 0; round < 50; ++round) {
    std::vector<Interval> intervals;
    for (uint64_t i = 0; i < 60; ++i) {
      const int first = static_cast<int>(random.below(round * 1000 + 3 * i, 40));
      const int length = static_cast<int>(random.below(round * 1000 + 3 * i + 1, 10));
      const auto bytes = static_cast<int64_t>(random.below(round * 1000 + 3 * i + 2, 5000));
      intervals.push_back({bytes, first, first + length});
    }
    const int64_t total = pack_intervals(intervals);
    int64_t most_alive = 0;
    for (int t = 0; t < 50; ++t) {
      int64_t alive = 0;
      for (const Interval& i : intervals) alive += i.first <= t && t <= i.last ? i.bytes : 0;
      most_alive = std::max(most_alive, alive);
    }
    EXPECT_GE(total, most_alive);
    EXPECT_LE(total, 2 * most_alive + 64 * 60);
    for (size_t a = 0; a < intervals.size(); ++a) {
      EXPECT_EQ(intervals[a].offset % 64, 0);
      EXPECT_LE(intervals[a].offset + intervals[a].bytes, total);
      for (size_t b = 0; b < a; ++b) {
        const Interval &x = intervals[a], &y = intervals[b];
        const bool together = x.first <= y.last && y.first <= x.last;
        const bool overlap = x.offset < y.offset + y.bytes && y.offset < x.offset + x.bytes;
        EXPECT_FALSE(together && overlap && x.bytes > 0 && y.bytes > 0);
      }
    }
  }
}

TEST(IntervalPackingTest, ReusesSpaceOfTheDead) {
  std::vector<Interval> intervals = {{100, 0, 1}, {100, 2, 3}, {100, 4, 5}};
  EXPECT_EQ(pack_intervals(intervals), 128);
}

}  // namespace
}  // namespace ashlar::passes
