#include "ashlar/text/models/bpe_merges.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <bit>
#include <functional>

namespace ashlar::text {
namespace {

constexpr size_t kShortWord = 32;

}  // namespace

MergeTable::MergeTable(size_t merges)
    : slots_(std::bit_ceil(std::max<size_t>(2 * merges, 16))),
      mask_(slots_.size() - 1),
      shift_(64 - std::countr_zero(slots_.size())) {}

void MergeTable::set(int32_t left, int32_t right, Merge merge) {
  const uint64_t key = pair_key(left, right);
  size_t slot = first_slot(key);
  while (slots_[slot].key != key && slots_[slot].key != kFree) slot = (slot + 1) & mask_;
  slots_[slot] = {key, merge};
}

void WordMerger::merge(const MergeTable& table, std::vector<int32_t>& symbols) {
  if (symbols.size() < 2) return;
  if (symbols.size() <= kShortWord) {
    merge_short(table, symbols);
  } else {
    merge_long(table, symbols);
  }
}

void WordMerger::merge_short(const MergeTable& table, std::vector<int32_t>& symbols) {
  MergeTable::Merge pairs[kShortWord];  // pairs[i]: symbols i and i + 1
  size_t count = symbols.size();
  for (size_t i = 0; i + 1 < count; ++i) pairs[i] = table.find(symbols[i], symbols[i + 1]);
  while (count > 1) {
    size_t best = 0;
    for (size_t i = 1; i + 1 < count; ++i) {
      if (pairs[i].rank < pairs[best].rank) best = i;
    }
    steps_ += count;
    if (pairs[best].rank == kNoRank) break;
    symbols[best] = pairs[best].id;
    for (size_t i = best + 1; i + 1 < count; ++i) {
      symbols[i] = symbols[i + 1];
      pairs[i] = pairs[i + 1];
    }
    --count;
    if (best + 1 < count) pairs[best] = table.find(symbols[best], symbols[best + 1]);
    if (best > 0) pairs[best - 1] = table.find(symbols[best - 1], symbols[best]);
  }
  symbols.resize(count);
}

void WordMerger::merge_long(const MergeTable& table, std::vector<int32_t>& symbols) {
  ASHLAR_CHECK(symbols.size() <= INT32_MAX, "a word of {} symbols is too long to encode",
               symbols.size());
  const auto count = static_cast<int32_t>(symbols.size());
  const auto at = [](int32_t i) { return static_cast<size_t>(i); };
  const auto entry = [](uint32_t rank, int32_t position) {
    return uint64_t{rank} << 32 | static_cast<uint32_t>(position);
  };
  const auto look_up = [&](int32_t i) {
    Node& node = nodes_[at(i)];
    const MergeTable::Merge found =
        node.next < 0 ? MergeTable::Merge{} : table.find(symbols[at(i)], symbols[at(node.next)]);
    node.rank = found.rank;
    node.merged = found.id;
    return found.rank != kNoRank;
  };

  nodes_.resize(symbols.size());
  heap_.clear();
  for (int32_t i = 0; i < count; ++i) {
    nodes_[at(i)] = {i - 1, i + 1 < count ? i + 1 : -1, kNoRank, -1};
    if (look_up(i)) heap_.push_back(entry(nodes_[at(i)].rank, i));
  }
  std::make_heap(heap_.begin(), heap_.end(), std::greater<>{});
  const auto push = [&](int32_t i) {
    heap_.push_back(entry(nodes_[at(i)].rank, i));
    std::push_heap(heap_.begin(), heap_.end(), std::greater<>{});
  };

  while (!heap_.empty()) {
    std::pop_heap(heap_.begin(), heap_.end(), std::greater<>{});
    const auto i = static_cast<int32_t>(heap_.back() & 0xFFFFFFFF);
    const auto rank = static_cast<uint32_t>(heap_.back() >> 32);
    heap_.pop_back();
    ++steps_;
    Node& node = nodes_[at(i)];
    if (node.rank != rank) continue;  // the pair has changed since it was pushed
    symbols[at(i)] = node.merged;
    Node& right = nodes_[at(node.next)];
    right.rank = kNoRank;  // the right symbol is gone
    symbols[at(node.next)] = -1;
    node.next = right.next;
    if (node.next >= 0) nodes_[at(node.next)].previous = i;
    if (look_up(i)) push(i);
    if (node.previous >= 0 && look_up(node.previous)) push(node.previous);
  }
  std::erase(symbols, -1);
}

}  // namespace ashlar::text
