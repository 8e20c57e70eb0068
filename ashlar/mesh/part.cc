#include "ashlar/mesh/part.h"

#include <fmt/format.h>

#include <cstring>

namespace ashlar {
namespace {

// Where an element of the whole lies in a part, in elements.
int64_t place_in(std::span<const Slice> part, std::span<const int64_t> element) {
  int64_t place = 0;
  for (size_t dim = 0; dim < part.size(); ++dim) {
    place = place * part[dim].length + element[dim] - part[dim].offset;
  }
  return place;
}

}  // namespace

Part whole_part(std::span<const int64_t> shape) {
  Part part;
  for (const int64_t length : shape) part.push_back({0, length});
  return part;
}

std::vector<int64_t> lengths(std::span<const Slice> part) {
  std::vector<int64_t> result;
  for (const Slice& slice : part) result.push_back(slice.length);
  return result;
}

int64_t elements(std::span<const Slice> part) {
  int64_t count = 1;
  for (const Slice& slice : part) count *= slice.length;
  return count;
}

std::string str(std::span<const Slice> part) {
  std::string text;
  for (const Slice& slice : part) {
    text += fmt::format("{}{}:{}", text.empty() ? "" : ", ", slice.offset, slice.end());
  }
  return "[" + text + "]";
}

std::optional<Part> overlap(std::span<const Slice> a, std::span<const Slice> b) {
  Part common;
  for (size_t dim = 0; dim < a.size(); ++dim) {
    const int64_t begin = std::max(a[dim].offset, b[dim].offset);
    const int64_t end = std::min(a[dim].end(), b[dim].end());
    if (begin >= end) return std::nullopt;
    common.push_back({begin, end - begin});
  }
  return common;
}

std::optional<PartRuns> runs_of(std::span<const Slice> part, std::span<const int64_t> whole) {
  size_t cut = part.size();  // dims behind it are whole
  int64_t inner = 1;
  while (cut > 1 && part[cut - 1].length == whole[cut - 1]) inner *= whole[--cut];
  PartRuns runs;
  int64_t size = inner;
  for (size_t dim = cut; dim-- > 0;) {
    runs.first += part[dim].offset * size;
    if (dim + 1 == cut) {
      runs.run = part[dim].length * inner;
      runs.stride = whole[dim] * inner;
    } else if (dim > 0 && part[dim].length != whole[dim]) {
      return std::nullopt;
    }
    size *= whole[dim];
  }
  return runs;
}

int64_t copy_overlap(std::span<const Slice> from_part, const std::byte* from,
                     std::span<const Slice> to_part, std::byte* to, int64_t element_bytes) {
  const std::optional<Part> common = overlap(from_part, to_part);
  if (!common) return 0;
  // A run is contiguous in both: the last dims that both hold alike, and one dim before them.
  size_t outer = common->size();
  int64_t run = 1;
  while (outer > 0) {
    --outer;
    run *= (*common)[outer].length;
    if (from_part[outer] != (*common)[outer] || to_part[outer] != (*common)[outer]) break;
  }
  std::vector<int64_t> element;
  for (const Slice& slice : *common) element.push_back(slice.offset);
  const int64_t bytes = elements(*common) * element_bytes;
  for (int64_t done = 0; done < bytes; done += run * element_bytes) {
    std::memcpy(to + place_in(to_part, element) * element_bytes,
                from + place_in(from_part, element) * element_bytes,
                static_cast<size_t>(run * element_bytes));
    for (size_t dim = outer; dim-- > 0;) {  // the next run's first element
      if (++element[dim] < (*common)[dim].end()) break;
      element[dim] = (*common)[dim].offset;
    }
  }
  return bytes;
}

}  // namespace ashlar
