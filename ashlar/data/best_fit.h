// Best-fit-decreasing bin packing: the longest item first, each into the fullest bin that has room
// for it. Within 11/9 of the fewest bins, plus one (Johnson 1973). Ties go to the earlier item and
// the later bin, so the result is a pure function of the lengths.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

namespace ashlar::data {

struct Bins {
  std::vector<int64_t> first;  // [bins + 1] into items
  std::vector<uint32_t> items;

  int64_t size() const { return static_cast<int64_t>(first.size()) - 1; }
  std::span<const uint32_t> operator[](int64_t bin) const {
    const auto i = static_cast<size_t>(bin);
    return std::span(items).subspan(static_cast<size_t>(first[i]),
                                    static_cast<size_t>(first[i + 1] - first[i]));
  }
};

// lengths[i] in [0, capacity]; an item of length 0 goes into no bin.
Bins best_fit(std::span<const int32_t> lengths, int32_t capacity);

}  // namespace ashlar::data
