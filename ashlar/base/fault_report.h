// The last words of a process that a fault kills (SIGSEGV, SIGBUS, SIGFPE, SIGILL, SIGABRT): one
// line on stderr that names the rank, its host and the op it was at, then the signal goes its way.
#pragma once

#include <cstdint>
#include <string>

namespace ashlar {

// `who` speaks for the calling thread, such as "rank 2 on node7"; "" for a job of one rank.
void report_faults(const std::string& who);

// What the calling thread works on from now on; `op` must outlive it (null: nothing). Costs a few
// stores.
void mark_work(const char* op, int layer, uint64_t step);

}  // namespace ashlar
