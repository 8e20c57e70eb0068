// How n things are dealt to a number of parts: in order, as evenly as can be, one more to each of
// the first n % parts. Every uneven split of the project is this one.
#pragma once

#include <algorithm>
#include <cstdint>

namespace ashlar {

struct Slice {
  int64_t offset = 0, length = 0;
  int64_t end() const { return offset + length; }
  bool operator==(const Slice&) const = default;
};

constexpr Slice slice_of(int64_t n, int parts, int part) {
  const int64_t each = n / parts, more = n % parts;
  return {each * part + std::min<int64_t>(part, more), each + (part < more ? 1 : 0)};
}

}  // namespace ashlar
