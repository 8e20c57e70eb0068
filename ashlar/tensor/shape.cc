#include "ashlar/tensor/shape.h"

#include "ashlar/base/error.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace ashlar {

Shape::Shape(std::initializer_list<int64_t> dims) : Shape(std::span(dims.begin(), dims.size())) {}

Shape::Shape(std::span<const int64_t> dims) : rank_(static_cast<int>(dims.size())) {
  ASHLAR_CHECK(dims.size() <= kMaxRank, "shape: {} dims, at most {} are supported", dims.size(),
               kMaxRank);
  std::ranges::copy(dims, dims_.begin());
}

int64_t Shape::elements() const {
  int64_t product = 1;
  for (const int64_t dim : dims()) product *= dim;
  return product;
}

int64_t Shape::row_elements() const {
  int64_t product = 1;
  for (int i = 1; i < rank_; ++i) product *= (*this)[i];
  return product;
}

std::string Shape::str() const { return fmt::format("[{}]", fmt::join(dims(), ", ")); }

}  // namespace ashlar
