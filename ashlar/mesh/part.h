// A part of a row-major array: a slice of each dim, stored row-major itself. Copies what two parts
// of one whole have in common, whatever way either was cut.
#pragma once

#include "ashlar/mesh/slice.h"

#include <cstddef>
#include <cstdint>
#include <optional>
#include <span>
#include <string>
#include <vector>

namespace ashlar {

using Part = std::vector<Slice>;  // a scalar's is empty

Part whole_part(std::span<const int64_t> shape);
std::vector<int64_t> lengths(std::span<const Slice> part);
int64_t elements(std::span<const Slice> part);
std::string str(std::span<const Slice> part);  // "[0:4, 16:32]"

// What both hold; none where that is nothing.
std::optional<Part> overlap(std::span<const Slice> a, std::span<const Slice> b);

// Where a part's elements lie in the whole, counted there: runs of `run` elements, `stride` from
// one to the next, the first at `first`. None where that does not say it: two dims behind the first
// are cut.
struct PartRuns {
  int64_t first = 0, run = 0, stride = 0;
  bool operator==(const PartRuns&) const = default;
};
std::optional<PartRuns> runs_of(std::span<const Slice> part, std::span<const int64_t> whole);

// Copies the elements that both parts hold. Returns how many bytes that were.
int64_t copy_overlap(std::span<const Slice> from_part, const std::byte* from,
                     std::span<const Slice> to_part, std::byte* to, int64_t element_bytes);

}  // namespace ashlar
