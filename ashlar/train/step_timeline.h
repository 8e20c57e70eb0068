// When each rank ran what in one step that really ran, beside what was planned: the ops a profiler
// saw, gathered into the instructions of the rank's list. Kept as RUN/timeline.json.
#pragma once

#include "ashlar/runtime/profiler.h"
#include "ashlar/schedule/timeline.h"
#include "ashlar/train/ranks.h"
#include "ashlar/train/state_layout.h"

#include <string>
#include <vector>

namespace ashlar::train {

// Ops of one instruction follow each other; the i-th such stretch of a kind on a chunk is the i-th
// instruction of that kind in `list`. What comes behind the microbatches is the step. Sums of
// gradients, which run beside, come last, and what ops waited for other ranks is told apart.
// graphs: of the chunks.
struct MeasuredRank {
  std::vector<schedule::Span> spans;
  std::vector<schedule::Interval> waits;
};
MeasuredRank measured_rank(const std::vector<runtime::Profiler::Record>& records,
                           const RankGraphs& graphs, const schedule::InstructionList& list);

// Those of all ranks, who call this together, as the text of timeline.json. Times count from the
// first op of any rank; on several hosts, whose clocks differ, from each rank's own.
std::string gather_timeline(const MeasuredRank& rank, int64_t step, const Ranks& ranks);

struct MeasuredStep {
  int64_t step = 0;
  schedule::Timeline timeline;
};
// Throws Error naming the file where it is none.
MeasuredStep read_timeline(const std::string& path);

}  // namespace ashlar::train
