#include "ashlar/data/best_fit.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <set>

namespace ashlar::data {
namespace {

// Offsets of groups from the sizes of the groups.
std::vector<int64_t> offsets_of(std::span<const int64_t> sizes) {
  std::vector<int64_t> offsets(sizes.size() + 1, 0);
  for (size_t i = 0; i < sizes.size(); ++i) offsets[i + 1] = offsets[i] + sizes[i];
  return offsets;
}

// Items from the longest to the shortest, equal ones in their order.
std::vector<uint32_t> longest_first(std::span<const int32_t> lengths, int32_t capacity) {
  const auto group = [capacity](int32_t length) { return static_cast<size_t>(capacity - length); };
  std::vector<int64_t> sizes(static_cast<size_t>(capacity) + 1, 0);
  for (const int32_t length : lengths) ++sizes[group(length)];
  std::vector<int64_t> next = offsets_of(sizes);
  std::vector<uint32_t> order(lengths.size());
  for (size_t i = 0; i < lengths.size(); ++i) {
    order[static_cast<size_t>(next[group(lengths[i])]++)] = static_cast<uint32_t>(i);
  }
  return order;
}

}  // namespace

Bins best_fit(std::span<const int32_t> lengths, int32_t capacity) {
  ASHLAR_CHECK(lengths.size() < UINT32_MAX, "data: {} documents are too many to pack",
               lengths.size());
  std::vector<std::vector<uint32_t>> with_room(static_cast<size_t>(capacity) + 1);  // bins
  std::set<int32_t> rooms;  // of which there are bins
  std::vector<uint32_t> bin_of(lengths.size());
  std::vector<int64_t> bin_sizes;
  const std::vector<uint32_t> order = longest_first(lengths, capacity);
  for (const uint32_t item : order) {
    const int32_t length = lengths[item];
    if (length == 0) break;
    uint32_t bin = 0;
    int32_t room = capacity;
    if (const auto best = rooms.lower_bound(length); best != rooms.end()) {
      room = *best;
      std::vector<uint32_t>& bins = with_room[static_cast<size_t>(room)];
      bin = bins.back();
      bins.pop_back();
      if (bins.empty()) rooms.erase(best);
    } else {
      bin = static_cast<uint32_t>(bin_sizes.size());
      bin_sizes.push_back(0);
    }
    bin_of[item] = bin;
    ++bin_sizes[bin];
    if (room > length) {
      with_room[static_cast<size_t>(room - length)].push_back(bin);
      rooms.insert(room - length);
    }
  }

  Bins bins{.first = offsets_of(bin_sizes), .items = {}};
  bins.items.resize(static_cast<size_t>(bins.first.back()));
  std::vector<int64_t> next = bins.first;
  for (const uint32_t item : order) {
    if (lengths[item] == 0) break;
    bins.items[static_cast<size_t>(next[bin_of[item]]++)] = item;
  }
  return bins;
}

}  // namespace ashlar::data
