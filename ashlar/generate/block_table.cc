#include "ashlar/generate/block_table.h"

#include "ashlar/base/error.h"

#include <utility>

namespace ashlar::generate {

BlockTable::BlockTable(KvPool& pool, const CacheIdentity& identity)
    : pool_(&pool), root_(pool.root(identity)) {}

BlockTable::BlockTable(BlockTable&& other) noexcept
    : pool_(other.pool_),
      root_(other.root_),
      blocks_(std::exchange(other.blocks_, {})),
      places_(std::exchange(other.places_, {})) {}

BlockTable& BlockTable::operator=(BlockTable&& other) noexcept {
  std::swap(pool_, other.pool_);
  std::swap(root_, other.root_);
  std::swap(blocks_, other.blocks_);
  std::swap(places_, other.places_);
  return *this;
}

int64_t BlockTable::reuse(std::span<const int32_t> tokens, int64_t at_most) {
  ASHLAR_DCHECK(blocks_.empty());
  KvPool::Place place = root_;
  int64_t known = 0;
  while (known + kBlockTokens <= at_most) {
    const auto found = pool_->find(place, tokens.subspan(static_cast<size_t>(known), kBlockTokens));
    if (!found) break;
    place = found->place;
    blocks_.push_back(found->block);
    places_.push_back(place);
    known += kBlockTokens;
  }
  return known;
}

bool BlockTable::grow(int64_t tokens) {
  const int64_t wanted = (tokens + kBlockTokens - 1) / kBlockTokens;
  const int64_t more = wanted - static_cast<int64_t>(blocks_.size());
  if (more > pool_->free_blocks()) return false;
  for (int64_t i = 0; i < more; ++i) blocks_.push_back(pool_->allocate());
  return true;
}

void BlockTable::publish(std::span<const int32_t> tokens, int64_t computed) {
  while (static_cast<int64_t>(places_.size() + 1) * kBlockTokens <= computed) {
    const size_t i = places_.size();
    const KvPool::Place parent = i == 0 ? root_ : places_.back();
    const auto found =
        pool_->publish(parent, tokens.subspan(i * kBlockTokens, kBlockTokens), blocks_[i]);
    blocks_[i] = found.block;
    places_.push_back(found.place);
  }
}

BlockTable BlockTable::fork() const {
  BlockTable twin(*pool_, {});
  twin.root_ = root_;
  twin.blocks_ = blocks_;
  twin.places_ = places_;
  for (const int32_t block : blocks_) pool_->retain(block);
  return twin;
}

bool BlockTable::own_from(int64_t position, std::vector<BlockCopy>& copies) {
  for (auto i = static_cast<size_t>(position / kBlockTokens); i < blocks_.size(); ++i) {
    if (pool_->writable(blocks_[i])) continue;
    const int32_t copy = pool_->allocate();
    if (copy < 0) return false;
    copies.push_back({blocks_[i], copy});
    pool_->release(blocks_[i]);
    blocks_[i] = copy;
    if (places_.size() > i) places_.resize(i);
  }
  return true;
}

// Last blocks first: a block never stays findable longer than those before it.
void BlockTable::clear() {
  while (!blocks_.empty()) {
    pool_->release(blocks_.back());
    blocks_.pop_back();
  }
  places_.clear();
}

}  // namespace ashlar::generate
