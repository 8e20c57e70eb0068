// Which blocks of the key-value cache are taken, by how many, and which hold known prefixes. Pure
// bookkeeping: the keys and values themselves lie in the model's pool Variables. Full blocks form a
// tree (a block's place is its tokens and all before them), so sequences that begin alike share
// them; a block nobody holds stays findable until its space is needed, the longest unused going
// first. Sharing never changes a bit, since a key's bits depend only on the tokens up to it.
#pragma once

#include "ashlar/kernels/args.h"
#include "ashlar/tensor/dtype.h"

#include <array>
#include <compare>
#include <cstdint>
#include <map>
#include <optional>
#include <span>
#include <unordered_map>
#include <vector>

namespace ashlar::generate {

inline constexpr int64_t kBlockTokens = kernels::kCacheBlock;

// What keys and values depend on besides the tokens: only equal ones share blocks.
struct CacheIdentity {
  uint64_t tenant = 0;
  uint64_t weight_version = 0;
  uint64_t adapter = 0;
  DType dtype = DType::kF32;
  int64_t position_origin = 0;
  bool long_sequence = false;  // ModelRunner::is_long
  auto operator<=>(const CacheIdentity&) const = default;
};

class KvPool {
 public:
  explicit KvPool(int64_t blocks);

  int64_t blocks() const { return static_cast<int64_t>(blocks_.size()); }
  int64_t free_blocks() const { return free_; }  // held by nobody, findable ones included

  int32_t allocate();  // held once; -1 when none is free
  void retain(int32_t block);
  void release(int32_t block);
  int64_t holders(int32_t block) const { return info(block).holders; }
  // Nobody else would see a write into it.
  bool writable(int32_t block) const { return info(block).holders == 1 && info(block).place == 0; }

  // A place in the tree of prefixes; the root of an identity is the empty prefix.
  using Place = uint64_t;
  struct Found {
    Place place;
    int32_t block;
  };
  Place root(const CacheIdentity& identity);
  // The block with these kBlockTokens tokens after `parent`, now held once more.
  std::optional<Found> find(Place parent, std::span<const int32_t> tokens);
  // Makes a full block findable; the caller holds it. When another block has that place already,
  // the caller holds that one instead and his own is released.
  Found publish(Place parent, std::span<const int32_t> tokens, int32_t block);

 private:
  using Tokens = std::array<int32_t, kBlockTokens>;
  struct Key {
    Place parent;
    Tokens tokens;
    bool operator==(const Key&) const = default;
  };
  struct KeyHash {
    size_t operator()(const Key& key) const;
  };
  struct Block {
    int64_t holders = 0;
    Place place = 0;  // 0: not findable
    Key key{};
    int32_t before = -1, after = -1;  // in the list of free blocks
  };

  Block& info(int32_t block) { return blocks_[static_cast<size_t>(block)]; }
  const Block& info(int32_t block) const { return blocks_[static_cast<size_t>(block)]; }
  void link(int32_t block, bool at_front);
  void unlink(int32_t block);
  static Key make_key(Place parent, std::span<const int32_t> tokens);

  std::vector<Block> blocks_;
  int32_t first_free_ = -1, last_free_ = -1;  // taken from the front
  int64_t free_ = 0;
  Place last_place_ = 0;  // never used twice
  std::map<CacheIdentity, Place> roots_;
  std::unordered_map<Key, int32_t, KeyHash> findable_;
};

}  // namespace ashlar::generate
