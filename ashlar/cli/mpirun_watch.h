// Ends an mpirun that outlives its ranks. Open MPI 4.1 can wait for a lock of its own forever when
// a rank is killed while it starts: the job has failed and said so, and would never end.
#pragma once

#include <chrono>

namespace ashlar::cli {

// Starts a process, in a session of its own, that watches the calling one, which is about to become
// mpirun: once it has had children and for `patience` none that is alive, it is killed. The watcher
// ends with it.
void watch_mpirun(std::chrono::milliseconds patience);

struct Children {
  int living = 0, ended = 0;  // ended: not waited for yet
};
Children children_of(int process);

}  // namespace ashlar::cli
