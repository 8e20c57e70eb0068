// How much memory this process holds.
#pragma once

#include <cstdint>

namespace ashlar {

// The most bytes it ever had resident, since it was started as this program (getrusage's number
// also remembers the program that started it). 0 where the system does not say.
int64_t peak_resident_bytes();

// Lets the peak start again at what is resident now; false where the system does not let a process.
bool reset_peak_resident_bytes();

}  // namespace ashlar
