#include "ashlar/graph/dim.h"

#include <fmt/format.h>

#include <array>
#include <string_view>

namespace ashlar::graph {

std::string_view name(Symbol symbol) {
  constexpr std::string_view names[] = {"number", "tokens", "seqs", "outputs",
                                        "routed", "part",   "whole"};
  return names[static_cast<int>(symbol)];
}

std::string Dim::str() const {
  if (fixed()) return fmt::format("{}", offset);
  std::string text =
      factor == 1 ? std::string(name(symbol)) : fmt::format("{}*{}", factor, name(symbol));
  if (offset != 0) text += fmt::format("{:+}", offset);
  return text;
}

SymShape::SymShape(const Shape& shape) {
  for (const int64_t dim : shape.dims()) dims_.emplace_back(dim);
}

bool SymShape::fixed() const {
  for (const Dim& dim : dims_) {
    if (!dim.fixed()) return false;
  }
  return true;
}

Shape SymShape::bind(const Bindings& bindings) const {
  std::array<int64_t, Shape::kMaxRank> sizes{};
  for (size_t i = 0; i < dims_.size(); ++i) sizes[i] = dims_[i].bind(bindings);
  return Shape(std::span<const int64_t>(sizes.data(), dims_.size()));
}

std::string SymShape::str() const {
  std::string text = "[";
  for (const Dim& dim : dims_) text += (text.size() > 1 ? ", " : "") + dim.str();
  return text + "]";
}

}  // namespace ashlar::graph
