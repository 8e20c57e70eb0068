// What came of comparing many drawn cases with a reference.
#pragma once

#include <fmt/format.h>

#include <string>
#include <vector>

namespace ashlar {

struct SweepResult {
  int checked = 0, refused = 0;          // refused: by the reference
  std::vector<std::string> differences;  // a line or a few each
};

// For programs: prints the differences and the counts; the exit code.
inline int print(const SweepResult& result) {
  for (const std::string& difference : result.differences) fmt::print("{}\n", difference);
  fmt::print("{} compared, {} that the reference refuses, {} differences\n", result.checked,
             result.refused, result.differences.size());
  return result.differences.empty() ? 0 : 1;
}

}  // namespace ashlar
