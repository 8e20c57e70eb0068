// One rank of the jobs that mpi_test starts under mpirun: comm_mpi_main cases|throw|late|die.
#include "ashlar/base/error.h"
#include "ashlar/comm/mpi.h"
#include "tests/comm/case_data.h"
#include "tests/comm/collective_cases.h"

#include <signal.h>

#include <chrono>
#include <cstdio>
#include <string_view>
#include <thread>

namespace ashlar::comm {
namespace {

void run_cases(Communicator& comm) {
  ASHLAR_CHECK(launched_by_mpi(), "the launcher was not noticed");
  for (const testing::CollectiveCase& collective : testing::collective_cases()) {
    collective.run(comm);
    comm.barrier(comm.world(), "case");
    if (comm.rank() == 0) fmt::print("{} ok\n", collective.name);
  }
}

void run_mode(Communicator& comm, std::string_view mode) {
  if (mode == "cases") return run_cases(comm);
  float x = 0;
  if (comm.rank() == 2) {
    if (mode == "throw") fail_usage("out of tokens");
    if (mode == "die") ::raise(SIGKILL);
    if (mode == "late") std::this_thread::sleep_for(std::chrono::seconds(60));
  }
  comm.all_reduce(comm.world(), Reduce::kSum, buffer(std::span(&x, 1)), "layers.0");
}

}  // namespace
}  // namespace ashlar::comm

int main(int argc, char** argv) {
  const std::string_view mode = argc == 2 ? argv[1] : "cases";
  return ashlar::comm::run_mpi_rank(
      [&](ashlar::comm::Communicator& comm) { ashlar::comm::run_mode(comm, mode); },
      {.timeout_s = mode == "late" ? 0.3 : 60});
}
