// What this machine has, as `ashlar doctor`, `bench` and a run's record show it: cores, memory,
// huge pages, disk, MPI.
#pragma once

#include <cstdint>
#include <string>

namespace ashlar::cli {

struct MachineFacts {
  std::string cpu, features, best_tier;
  int cores = 1;  // this process may use
  int64_t memory_bytes = 0, memory_available_bytes = 0;
  int64_t memory_limit_bytes = 0;      // of the container; 0: none
  std::string transparent_huge_pages;  // "always", "madvise", "never"; empty: not known
  int64_t reserved_huge_pages = 0;     // of 2 MiB
  int64_t disk_free_bytes = 0;         // where the command runs
  std::string mpirun;                  // its path; empty: not found
  std::string kernel;                  // of the system: "Linux 6.1.0"
};

MachineFacts machine_facts(const std::string& folder = ".");

}  // namespace ashlar::cli
