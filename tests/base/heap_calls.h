// Counts calls of malloc and its relatives in this program, on any thread (operator new calls
// malloc). Under a sanitizer, which brings its own malloc, nothing is counted.
#pragma once

#include <cstdint>

namespace ashlar::testing {

bool counts_heap_calls();
int64_t heap_calls();

}  // namespace ashlar::testing
