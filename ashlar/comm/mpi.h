// Ranks as processes under mpirun or srun. In a build without MPI the same functions exist and say
// so.
#pragma once

#include "ashlar/comm/communicator.h"

#include <functional>

namespace ashlar::comm {

bool built_with_mpi();
// Whether a launcher started this process as one rank of a job (its environment says so).
bool launched_by_mpi();

// Runs f as this process's rank of the job, once in a process, and returns 0 when all ranks have
// ended. If f throws, it prints "rank 2 on HOST: " and what was said, and ends the whole job with
// the error's exit code; it does not return then. All calls of MPI come from the calling thread.
int run_mpi_rank(const std::function<void(Communicator&)>& f, const CommOptions& options = {});

}  // namespace ashlar::comm
