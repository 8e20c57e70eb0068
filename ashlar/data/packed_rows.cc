#include "ashlar/data/packed_rows.h"

#include "ashlar/base/error.h"

#include <algorithm>
#include <numeric>

namespace ashlar::data {

RowWriter::Places RowWriter::sequence(int64_t count) {
  ASHLAR_DCHECK(count > 0 && at_ + count <= begin_ + batch_.seq);
  batch_.row_start.push_back(static_cast<int32_t>(at_));
  const auto first = static_cast<size_t>(at_), size = static_cast<size_t>(count);
  std::iota(batch_.positions.begin() + at_, batch_.positions.begin() + at_ + count, 0);
  at_ += count;
  return {std::span(batch_.tokens).subspan(first, size),
          std::span(batch_.targets).subspan(first, size)};
}

void RowWriter::pad(int32_t token) {
  const int64_t left = begin_ + batch_.seq - at_;
  if (left == 0) return;
  const Places places = sequence(left);
  std::ranges::fill(places.tokens, token);
  std::ranges::fill(places.targets, -1);
}

}  // namespace ashlar::data
