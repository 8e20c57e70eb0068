#include "ashlar/schedule/timeline.h"

#include <algorithm>

namespace ashlar::schedule {

double Timeline::bubble() const {
  double busy = 0;
  for (const RankTimeline& rank : ranks) busy += rank.busy;
  const double all = makespan * static_cast<double>(ranks.size());
  return all == 0 ? 0 : 1 - busy / all;
}

double Timeline::bubble_over_ideal() const {
  const double share = bubble();
  return share / (1 - share);
}

double Timeline::idle() const {
  double most = 0;
  for (const RankTimeline& rank : ranks) {
    most = std::max(most, rank.last_end - rank.first_start - rank.busy);
  }
  return most;
}

double Timeline::peak_microbatches() const {
  double most = 0;
  for (const RankTimeline& rank : ranks) most = std::max(most, rank.peak_microbatches);
  return most;
}

}  // namespace ashlar::schedule
