// Ranks as threads of one process, for tests and for jobs on one machine. Messages are copied once,
// straight from the sender's memory to the receiver's, by the receiver. Waits sleep.
#pragma once

#include "ashlar/comm/communicator.h"

#include <functional>

namespace ashlar::comm {

// Runs f on n ranks and returns when all have ended. If one throws, all others are told at their
// next communication, and this throws an Error: "rank 2: " and what it said.
void run_ranks(int n, const std::function<void(Communicator&)>& f, const CommOptions& options = {});

}  // namespace ashlar::comm
