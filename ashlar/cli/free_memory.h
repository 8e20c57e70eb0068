// How much memory a process may still take: what the system has free, or less where a container
// (control groups, version 1 or 2) has a limit.
#pragma once

#include <cstdint>
#include <string>

namespace ashlar::cli {

// In bytes; 0 where the system does not say. root: where /proc and /sys are.
int64_t free_memory(const std::string& root = "/");

}  // namespace ashlar::cli
