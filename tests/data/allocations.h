// Counts the calls of operator new in this program, on any thread.
#pragma once

#include <cstdint>

namespace ashlar::data::testing {

int64_t allocations();

}  // namespace ashlar::data::testing
