// Adds the messages to a schedule of compute instructions. A stage whose neighbour is on the same
// rank needs none. What a send may assume decides where receives can stand:
//
// kBuffered: a send hands its data over and goes on, and messages between two ranks may be received
// in any order (tags). A receive stands right before its use, so nothing waits longer than it must.
// kRendezvous: a send waits until its receive has begun. Messages then stand in one order in time
// on all ranks, which cannot deadlock, and which runs with buffers as well.
#pragma once

#include "ashlar/schedule/schedule.h"

namespace ashlar::schedule {

enum class Sends : uint8_t { kBuffered, kRendezvous };

// Throws if there are messages already, or if the schedule gets stuck.
Schedule add_messages(const Schedule& schedule, Sends sends = Sends::kBuffered);

// Appends to each rank, after the last gradient of a chunk, its reduce, and at the end a step.
Schedule add_update(const Schedule& schedule);

// Not a step: one microbatch's forwards through the first copy of the stages, with the messages.
Schedule forwards(const StageMap& stages);

// The schedule with the messages and the update that it lacks, checked.
Schedule ready_to_run(const Schedule& schedule);

}  // namespace ashlar::schedule
