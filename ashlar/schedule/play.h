// Plays a schedule on simulated time: the same lists that the executor runs, with given costs in
// place of work. Ranks run their lists in order, on processors that they may have to share; sends
// are buffered and go over one link for each ordered pair of ranks; a receive waits; saved values
// take memory of a virtual device.
#pragma once

#include "ashlar/schedule/costs.h"
#include "ashlar/schedule/schedule.h"
#include "ashlar/schedule/timeline.h"

namespace ashlar::schedule {

// Adds messages if there are none. Throws what check() throws, and where memory does not suffice.
Timeline play(const Schedule& schedule, const Costs& costs);

}  // namespace ashlar::schedule
