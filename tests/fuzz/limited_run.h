// One input of a fuzzer, within limits: a parser whose live allocations grow beyond a fixed floor
// and a constant times the input's size ends the program, as the sanitizers' findings do.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string_view>

namespace ashlar::testing {

// Always 0, what LLVMFuzzerTestOneInput is to return.
int run_limited(void (*read)(std::string_view bytes), const uint8_t* data, size_t size);

}  // namespace ashlar::testing
