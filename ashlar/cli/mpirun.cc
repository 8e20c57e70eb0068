#include "ashlar/cli/mpirun.h"

#include "ashlar/base/error.h"
#include "ashlar/cli/mpirun_watch.h"
#include "ashlar/comm/mpi.h"

#include <fmt/ranges.h>

#include <unistd.h>

#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <filesystem>

namespace ashlar::cli {
namespace {

// Ends of jobs take mpirun less than a second.
constexpr std::chrono::seconds kPatience{5};

}  // namespace

void exec_mpirun(int ranks, const std::vector<std::string>& arguments) {
  ASHLAR_CHECK(comm::built_with_mpi(),
               "--mpi: this program was built without MPI: install libopenmpi-dev and build again, "
               "or use --ranks {}",
               ranks);
  std::vector<std::string> words = {"mpirun",    "-n",   std::to_string(ranks), "--oversubscribe",
                                    "--bind-to", "none", "--allow-run-as-root"};
  words.push_back(std::filesystem::read_symlink("/proc/self/exe").string());
  words.insert(words.end(), arguments.begin(), arguments.end());
  fmt::print(stderr, "{}\n", fmt::join(words, " "));
  std::fflush(nullptr);
  std::vector<char*> pointers;
  for (std::string& word : words) pointers.push_back(word.data());
  pointers.push_back(nullptr);
  watch_mpirun(kPatience);
  ::execvp(pointers[0], pointers.data());
  fail("--mpi: mpirun cannot be started: {}; install openmpi-bin, or use --ranks {}",
       std::strerror(errno), ranks);
}

}  // namespace ashlar::cli
