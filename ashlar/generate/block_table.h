// The cache blocks of one sequence, in the order of its tokens. Full blocks are shared with whoever
// begins alike; writing into a block that others hold as well goes into a copy (fork, own_from).
#pragma once

#include "ashlar/generate/kv_pool.h"

#include <cstdint>
#include <span>
#include <vector>

namespace ashlar::generate {

// Keys and values to copy before the next run.
struct BlockCopy {
  int32_t from = 0, to = 0;
  bool operator==(const BlockCopy&) const = default;
};

class BlockTable {
 public:
  // The pool outlives the table.
  BlockTable(KvPool& pool, const CacheIdentity& identity);
  ~BlockTable() { clear(); }
  BlockTable(BlockTable&& other) noexcept;
  BlockTable& operator=(BlockTable&& other) noexcept;

  // Of an empty table: takes the known blocks of these tokens' beginning, `at_most` tokens of them;
  // returns how many tokens they hold.
  int64_t reuse(std::span<const int32_t> tokens, int64_t at_most);
  // Room for the first `tokens` tokens; false when the pool has not enough: nothing changed.
  bool grow(int64_t tokens);
  // Makes full blocks findable whose tokens are all computed.
  void publish(std::span<const int32_t> tokens, int64_t computed);
  // Another sequence with the same tokens so far.
  BlockTable fork() const;
  // Before tokens from `position` on are written: blocks that others hold are replaced by copies.
  // False when the pool has no block for one; what was replaced stays so.
  bool own_from(int64_t position, std::vector<BlockCopy>& copies);
  void clear();

  std::span<const int32_t> blocks() const { return blocks_; }

 private:
  KvPool* pool_;
  KvPool::Place root_;
  std::vector<int32_t> blocks_;
  std::vector<KvPool::Place> places_;  // of the findable blocks, a prefix of blocks_
};

}  // namespace ashlar::generate
