// Sets of characters as runs in rising order.
#pragma once

#include <algorithm>
#include <span>

namespace ashlar::text {

struct CharRun {
  char32_t first, last;
};

// The run that holds c; null when none does. Any struct with first and last will do.
template <typename Run>
const Run* find_run(std::span<const Run> runs, char32_t c) {
  const auto run = std::lower_bound(runs.begin(), runs.end(), c,
                                    [](const Run& r, char32_t value) { return r.last < value; });
  return run != runs.end() && run->first <= c ? &*run : nullptr;
}

inline bool contains(std::span<const CharRun> runs, char32_t c) {
  return find_run(runs, c) != nullptr;
}

}  // namespace ashlar::text
