// What came of a schedule in time, played or measured: when each rank ran what, and the numbers by
// which methods are compared.
#pragma once

#include "ashlar/schedule/schedule.h"

#include <cstdint>
#include <vector>

namespace ashlar::schedule {

struct Span {
  Instruction instruction;
  double start = 0, end = 0;
};
struct Transfer {
  int from = 0, to = 0;  // ranks
  Instruction send;
  double start = 0, end = 0;  // handed over, arrived
};

struct Interval {
  double start = 0, end = 0;
};

struct RankTimeline {
  std::vector<Span> spans;  // all but sends, in order; a receive spans what the rank waited for it
  std::vector<Interval> waits;           // within spans, for other ranks; of what was measured
  double busy = 0;                       // computing
  double first_start = 0, last_end = 0;  // of computing
  int peak_until_backward = 0;           // (microbatch, chunk) pairs between F and the end of B
  int peak_until_weight = 0;             // and the end of W
  double peak_microbatches = 0;  // peak_until_weight in microbatches on the rank's whole share
  int64_t peak_bytes = 0;
};

struct Timeline {
  std::vector<RankTimeline> ranks;
  std::vector<Transfer> transfers;
  double makespan = 0;

  double bubble() const;             // share of makespan x ranks not spent computing
  double bubble_over_ideal() const;  // that time over the time spent computing
  // The most that a rank idles between its own first start and last end.
  double idle() const;
  double peak_microbatches() const;  // of the fullest rank
};

}  // namespace ashlar::schedule
