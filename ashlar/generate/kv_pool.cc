#include "ashlar/generate/kv_pool.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <limits>

namespace ashlar::generate {

KvPool::KvPool(int64_t blocks) {
  ASHLAR_CHECK(blocks > 0 && blocks <= std::numeric_limits<int32_t>::max() / kBlockTokens,
               "key-value cache: {} blocks, wanted 1 to {}", blocks,
               std::numeric_limits<int32_t>::max() / kBlockTokens);
  blocks_.resize(static_cast<size_t>(blocks));
  findable_.reserve(static_cast<size_t>(blocks));
  for (int32_t block = 0; block < static_cast<int32_t>(blocks); ++block) link(block, false);
}

int32_t KvPool::allocate() {
  const int32_t block = first_free_;
  if (block < 0) return -1;
  unlink(block);
  Block& taken = info(block);
  if (taken.place != 0) {
    findable_.erase(taken.key);
    taken.place = 0;
  }
  taken.holders = 1;
  return block;
}

void KvPool::retain(int32_t block) {
  if (info(block).holders++ == 0) unlink(block);
}

void KvPool::release(int32_t block) {
  Block& released = info(block);
  ASHLAR_DCHECK(released.holders > 0);
  if (--released.holders == 0) link(block, released.place == 0);
}

KvPool::Place KvPool::root(const CacheIdentity& identity) {
  Place& place = roots_[identity];
  if (place == 0) place = ++last_place_;
  return place;
}

std::optional<KvPool::Found> KvPool::find(Place parent, std::span<const int32_t> tokens) {
  const auto found = findable_.find(make_key(parent, tokens));
  if (found == findable_.end()) return std::nullopt;
  retain(found->second);
  return Found{info(found->second).place, found->second};
}

KvPool::Found KvPool::publish(Place parent, std::span<const int32_t> tokens, int32_t block) {
  const Key key = make_key(parent, tokens);
  const auto [entry, added] = findable_.try_emplace(key, block);
  Block& published = info(entry->second);
  if (added) {
    published.place = ++last_place_;
    published.key = key;
  } else if (entry->second != block) {
    retain(entry->second);
    release(block);
  }
  return {published.place, entry->second};
}

// A block that holds nothing findable is the first to be used again.
void KvPool::link(int32_t block, bool at_front) {
  Block& linked = info(block);
  linked.before = at_front ? -1 : last_free_;
  linked.after = at_front ? first_free_ : -1;
  (linked.before >= 0 ? info(linked.before).after : first_free_) = block;
  (linked.after >= 0 ? info(linked.after).before : last_free_) = block;
  ++free_;
}

void KvPool::unlink(int32_t block) {
  const Block& linked = info(block);
  (linked.before >= 0 ? info(linked.before).after : first_free_) = linked.after;
  (linked.after >= 0 ? info(linked.after).before : last_free_) = linked.before;
  --free_;
}

KvPool::Key KvPool::make_key(Place parent, std::span<const int32_t> tokens) {
  ASHLAR_DCHECK(static_cast<int64_t>(tokens.size()) == kBlockTokens);
  Key key{parent, {}};
  std::ranges::copy(tokens, key.tokens.begin());
  return key;
}

size_t KvPool::KeyHash::operator()(const Key& key) const {
  constexpr uint64_t kMultiplier = 0x9E3779B97F4A7C15ull;
  uint64_t hash = key.parent * kMultiplier;
  for (const int32_t token : key.tokens) {
    hash = (hash ^ (hash >> 32) ^ static_cast<uint32_t>(token)) * kMultiplier;
  }
  return static_cast<size_t>(hash ^ (hash >> 29));
}

}  // namespace ashlar::generate
