// A cache as plain counts, for scheduler tests: no sharing, but it checks every call.
#pragma once

#include "ashlar/serve/policy/cache_space.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>

namespace ashlar::serve {

class CountingCache : public CacheSpace {
 public:
  static constexpr int64_t kBlock = 16;
  explicit CountingCache(int64_t blocks) : blocks_(blocks), free_(blocks) {}

  int64_t capacity() const override { return blocks_ * kBlock; }
  int64_t free_blocks() const override { return free_; }
  int64_t reuse(SequenceId id, int64_t at_most) override {
    EXPECT_EQ(held(id), 0) << "sequence " << id << " holds blocks already";
    const int64_t known = std::min(at_most, known_tokens) / kBlock * kBlock;
    return grow(id, known) ? known : 0;
  }
  bool grow(SequenceId id, int64_t tokens) override {
    const int64_t more = (tokens + kBlock - 1) / kBlock - held(id);
    if (more <= 0) return true;
    if (more > free_) return false;
    free_ -= more;
    held_[id] += more;
    return true;
  }
  void release(SequenceId id) override {
    free_ += held(id);
    held_.erase(id);
  }

  int64_t held(SequenceId id) const {
    const auto found = held_.find(id);
    return found == held_.end() ? 0 : found->second;
  }
  int64_t holders() const { return static_cast<int64_t>(held_.size()); }
  int64_t blocks() const { return blocks_; }

  int64_t known_tokens = 0;  // every sequence finds so many of its tokens

 private:
  int64_t blocks_, free_;
  std::map<SequenceId, int64_t> held_;
};

}  // namespace ashlar::serve
