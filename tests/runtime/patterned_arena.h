// An executor's arena, filled with a pattern (and the rest of its last page with it) that shows
// afterwards how far it was written.
#pragma once

#include "ashlar/runtime/executor.h"

#include <cstdint>

namespace ashlar::testing {

class PatternedArena {
 public:
  explicit PatternedArena(const runtime::Executor& executor);

  // The first byte past the last one that was changed; may lie beyond the arena.
  int64_t mark() const;
  // Where the plan's topmost value or scratch ends: the arena's size without the padding of that
  // buffer to a cache line.
  int64_t planned_mark() const;

 private:
  int64_t planned_end(graph::ValueId value, const graph::Location& location) const;

  const runtime::Executor& executor_;
  int64_t bytes_;  // filled
};

// Fails the test unless the arena was changed up to the plan's mark, and not beyond.
void expect_used_to_its_mark(const PatternedArena& arena, const runtime::Executor& executor,
                             const std::string& what);

}  // namespace ashlar::testing
