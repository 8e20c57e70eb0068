// Starts this program again as the ranks of a job on one machine.
#pragma once

#include <string>
#include <vector>

namespace ashlar::cli {

// Replaces this process by mpirun with `ranks` processes of this program, and with what a small
// machine needs: more ranks than cores, no binding, root allowed. Prints the command first. Throws
// Error where mpirun cannot be started.
[[noreturn]] void exec_mpirun(int ranks, const std::vector<std::string>& arguments);

}  // namespace ashlar::cli
