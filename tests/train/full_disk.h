// A disk that runs full, for tests: of what this process writes below the folder from now on, so
// many bytes still fit; then writes fail as they do on a full disk (ENOSPC).
#pragma once

#include <cstdint>
#include <string>

namespace ashlar::train::testing {

void fill_disk(const std::string& folder, int64_t room);

}  // namespace ashlar::train::testing
