#include "ashlar/train/chunk_stores.h"

namespace ashlar::train {

ChunkStores::ChunkStores(uint64_t seed, size_t chunks) {
  for (size_t c = 0; c < chunks; ++c) chunks_.emplace_back(seed);
}

runtime::VariableStore& ChunkStores::whole() {
  if (chunks_.size() == 1) return chunks_[0];
  for (const runtime::VariableStore& chunk : chunks_) {
    for (const auto& [name, tensor] : chunk.tensors()) {
      if (!whole_.contains(name)) whole_.put(name, tensor);
    }
  }
  return whole_;
}

}  // namespace ashlar::train
