// The order that results where each rank, whenever it is free, runs the most urgent instruction
// that is ready: a backward before a forward, an older microbatch before a younger one, a later
// stage before an earlier one. For placements whose best order has no simple formula.
#pragma once

#include "ashlar/schedule/schedule.h"

#include <vector>

namespace ashlar::schedule {

struct GreedyTimes {
  int forward = 1, backward = 2;
};

// Fills schedule.ranks with F and BW. microbatches[replica]: its own, oldest first. A rank starts
// no forward while `limit` chunks wait for their backward, but for the oldest microbatch of a
// replica that it has not finished, so that the order can never get stuck.
void fill_greedily(Schedule& schedule, const std::vector<std::vector<int>>& microbatches,
                   GreedyTimes times, int limit);

}  // namespace ashlar::schedule
