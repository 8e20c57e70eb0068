#include "ashlar/base/process_memory.h"

#include <fstream>
#include <string>

namespace ashlar {

int64_t peak_resident_bytes() {
  std::ifstream status("/proc/self/status");
  for (std::string word; status >> word;) {
    int64_t kilobytes = 0;
    if (word == "VmHWM:" && status >> kilobytes) return kilobytes * 1024;
  }
  return 0;
}

bool reset_peak_resident_bytes() {
  std::ofstream clear("/proc/self/clear_refs");
  return static_cast<bool>(clear << '5' << std::flush);
}

}  // namespace ashlar
