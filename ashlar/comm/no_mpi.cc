// Instead of mpi.cc in a build without MPI.
#include "ashlar/base/error.h"
#include "ashlar/comm/mpi.h"

namespace ashlar::comm {

bool built_with_mpi() { return false; }

int run_mpi_rank(const std::function<void(Communicator&)>&, const CommOptions&) {
  fail(
      "mpi: this program was built without MPI: install libopenmpi-dev and build again, or use "
      "--ranks for ranks in one process");
}

}  // namespace ashlar::comm
