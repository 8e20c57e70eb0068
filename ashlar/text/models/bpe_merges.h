// Byte-pair encoding's core: which pairs of tokens merge, and applying that to a word. The rule: of
// all adjacent pairs, merge the one learnt earliest (lowest rank), leftmost first among equals,
// until no pair merges. (Sennrich et al., "Neural Machine Translation of Rare Words with Subword
// Units", 2016.)
#pragma once

#include <cstddef>
#include <cstdint>
#include <vector>

namespace ashlar::text {

inline constexpr uint32_t kNoRank = UINT32_MAX;

constexpr uint64_t pair_key(int32_t left, int32_t right) {
  return uint64_t{static_cast<uint32_t>(left)} << 32 | static_cast<uint32_t>(right);
}

// (left, right) -> rank and merged token; a flat hash with linear probing, at most half full.
class MergeTable {
 public:
  struct Merge {
    uint32_t rank = kNoRank;
    int32_t id = -1;
  };

  explicit MergeTable(size_t merges = 0);
  // A pair given twice keeps its later rank, as in Hugging Face tokenizers.
  void set(int32_t left, int32_t right, Merge merge);
  Merge find(int32_t left, int32_t right) const {
    const uint64_t key = pair_key(left, right);
    size_t slot = first_slot(key);
    while (slots_[slot].key != key && slots_[slot].key != kFree) slot = (slot + 1) & mask_;
    return slots_[slot].merge;
  }
  bool contains(int32_t left, int32_t right) const { return find(left, right).rank != kNoRank; }

 private:
  static constexpr uint64_t kFree = UINT64_MAX;
  struct Slot {
    uint64_t key = kFree;
    Merge merge;
  };
  size_t first_slot(uint64_t key) const {
    return static_cast<size_t>((key * 0x9E3779B97F4A7C15ull) >> shift_);
  }

  std::vector<Slot> slots_;
  size_t mask_;
  int shift_;
};

// Merges words in place; holds the work space, so one a thread.
class WordMerger {
 public:
  // Replaces the word's symbols by its tokens. Words of up to 32 symbols are scanned again for
  // every merge; longer ones keep their pairs in a heap: O(n log n).
  void merge(const MergeTable& table, std::vector<int32_t>& symbols);

  // Symbols scanned and heap entries taken since the start: the work done, for tests.
  uint64_t steps() const { return steps_; }

 private:
  void merge_short(const MergeTable& table, std::vector<int32_t>& symbols);
  void merge_long(const MergeTable& table, std::vector<int32_t>& symbols);

  struct Node {
    int32_t previous, next;  // -1: none
    uint32_t rank;           // of the pair with the next node
    int32_t merged;          // what that pair becomes
  };
  std::vector<Node> nodes_;
  std::vector<uint64_t> heap_;  // rank << 32 | position: the smallest is the next merge
  uint64_t steps_ = 0;
};

}  // namespace ashlar::text
