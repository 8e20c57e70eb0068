#include "ashlar/text/training/pair_counts.h"

#include "ashlar/text/models/bpe_merges.h"

#include <limits>
#include <tuple>
#include <utility>

namespace ashlar::text {
namespace {

// Below any count: a retired pair never comes up again, however its count changes.
constexpr int64_t kRetired = std::numeric_limits<int64_t>::min() / 2;

}  // namespace

void PairCounts::change(int32_t left, int32_t right, int64_t change, uint32_t word) {
  const auto [entry, fresh] = index_.try_emplace(pair_key(left, right), pairs_.size());
  if (fresh) {
    pairs_.push_back({left, right, 0, heap_.size(), {}});
    heap_.push_back(entry->second);
  }
  Pair& pair = pairs_[entry->second];
  pair.count += change;
  if (change > 0) {
    if (pair.words.empty() || pair.words.back() != word) pair.words.push_back(word);
    sift_up(pair.heap_position);
  } else {
    sift_down(pair.heap_position);
  }
}

const PairCounts::Pair* PairCounts::top() const {
  return heap_.empty() ? nullptr : &pairs_[heap_.front()];
}

std::vector<uint32_t> PairCounts::take_words_of_top() {
  return std::exchange(pairs_[heap_.front()].words, {});
}

void PairCounts::retire_top() {
  pairs_[heap_.front()].count = kRetired;
  sift_down(0);
}

bool PairCounts::before(size_t a, size_t b) const {
  const Pair& x = pairs_[a];
  const Pair& y = pairs_[b];
  return std::tuple(-x.count, x.left, x.right) < std::tuple(-y.count, y.left, y.right);
}

void PairCounts::place(size_t position, size_t pair) {
  heap_[position] = pair;
  pairs_[pair].heap_position = position;
}

void PairCounts::sift_up(size_t position) {
  const size_t pair = heap_[position];
  while (position > 0 && before(pair, heap_[(position - 1) / 2])) {
    place(position, heap_[(position - 1) / 2]);
    position = (position - 1) / 2;
  }
  place(position, pair);
}

void PairCounts::sift_down(size_t position) {
  const size_t pair = heap_[position];
  while (2 * position + 1 < heap_.size()) {
    size_t child = 2 * position + 1;
    if (child + 1 < heap_.size() && before(heap_[child + 1], heap_[child])) ++child;
    if (!before(heap_[child], pair)) break;
    place(position, heap_[child]);
    position = child;
  }
  place(position, pair);
}

}  // namespace ashlar::text
