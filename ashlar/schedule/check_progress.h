// The last part of check(): runs the lists without times, each rank as far as its inputs let it.
#pragma once

#include "ashlar/schedule/communication.h"
#include "ashlar/schedule/schedule.h"

namespace ashlar::schedule {

// Throws an Error that follows who waits for whom if some rank cannot come to its end.
void check_progress(const Schedule& schedule, Sends sends);

}  // namespace ashlar::schedule
