#include "ashlar/base/env.h"
#include "ashlar/comm/mpi.h"

namespace ashlar::comm {

// Open MPI, MPICH (Hydra), PMIx launchers such as srun --mpi=pmix.
bool launched_by_mpi() {
  return env("OMPI_COMM_WORLD_RANK") || env("PMI_RANK") || env("PMIX_RANK");
}

}  // namespace ashlar::comm
