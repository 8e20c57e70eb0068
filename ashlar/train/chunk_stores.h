// The Variables of one rank. Chunks of a pipeline may hold copies of a parameter under one name (a
// tied head beside its embedding, Chimera's two directions), so each has a store of its own; what
// looks at the rank as one, such as a checkpoint, sees the first copy of each.
#pragma once

#include "ashlar/runtime/variable_store.h"

#include <cstdint>
#include <deque>

namespace ashlar::train {

class ChunkStores {
 public:
  explicit ChunkStores(uint64_t seed, size_t chunks = 1);

  size_t size() const { return chunks_.size(); }
  runtime::VariableStore& chunk(size_t index) { return chunks_[index]; }

  // Of all chunks, sharing their memory: what they hold now. Of one chunk, its own.
  runtime::VariableStore& whole();

 private:
  std::deque<runtime::VariableStore> chunks_;
  runtime::VariableStore whole_;
};

}  // namespace ashlar::train
