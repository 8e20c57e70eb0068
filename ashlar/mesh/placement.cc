#include "ashlar/mesh/placement.h"

#include "ashlar/base/error.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <charconv>

namespace ashlar {

std::string AxisPlacement::str() const {
  if (is_split()) return fmt::format("{}({})", is_shard() ? 'Z' : 'S', dim);
  return is_partial() ? "P" : "R";
}

AxisPlacement AxisPlacement::parse(std::string_view text) {
  if (text == "R") return replicated();
  if (text == "P") return partial();
  int dim = -1;
  const bool shards = text.starts_with("Z(");
  const bool framed = (shards || text.starts_with("S(")) && text.ends_with(")");
  if (framed) {
    const char* end = text.data() + text.size() - 1;
    if (std::from_chars(text.data() + 2, end, dim).ptr != end) dim = -1;
  }
  ASHLAR_CHECK(dim >= 0, "placement: '{}' is none of R, S(dim), Z(dim), P", text);
  return shards ? shard(dim) : split(dim);
}

Placement Placement::replicated(const Mesh& mesh) {
  return {std::vector<AxisPlacement>(mesh.axes().size())};
}

Placement Placement::parse(const Mesh& mesh, std::string_view text) {
  Placement result = replicated(mesh);
  if (text == "R") return result;
  std::vector<bool> named(result.axes.size());
  for (size_t begin = 0; begin <= text.size();) {
    const size_t end = std::min(text.find(' ', begin), text.size());
    const std::string_view word = text.substr(begin, end - begin);
    const size_t equals = word.find('=');
    ASHLAR_CHECK(equals != std::string_view::npos,
                 "placement '{}': '{}' is not axis=R, axis=S(dim) or axis=P", text, word);
    const auto axis = static_cast<size_t>(mesh.axis(word.substr(0, equals)));
    ASHLAR_CHECK(!named[axis], "placement '{}': axis {} is named twice", text,
                 mesh.axes()[axis].name);
    named[axis] = true;
    result.axes[axis] = AxisPlacement::parse(word.substr(equals + 1));
    begin = end + 1;
  }
  return result;
}

std::string Placement::str(const Mesh& mesh) const {
  std::vector<std::string> parts;
  for (size_t i = 0; i < axes.size(); ++i)
    if (axes[i] != AxisPlacement::replicated())
      parts.push_back(fmt::format("{}={}", mesh.axes()[i].name, axes[i].str()));
  return parts.empty() ? "R" : fmt::format("{}", fmt::join(parts, " "));
}

Placement Placement::with(const Mesh& mesh, std::string_view axis, AxisPlacement placement) const {
  Placement result = *this;
  result.axes.at(static_cast<size_t>(mesh.axis(axis))) = placement;
  return result;
}

const AxisPlacement& Placement::on(const Mesh& mesh, std::string_view axis) const {
  return axes.at(static_cast<size_t>(mesh.axis(axis)));
}

bool Placement::is_partial() const { return std::ranges::any_of(axes, &AxisPlacement::is_partial); }

void Placement::validate(const Mesh& mesh, std::span<const int64_t> shape,
                         std::string_view what) const {
  ASHLAR_CHECK(axes.size() == mesh.axes().size(),
               "{}: a placement of {} axes on a mesh of {}: name one per mesh axis", what,
               axes.size(), mesh.axes().size());
  for (size_t i = 0; i < axes.size(); ++i) {
    if (!axes[i].is_split()) continue;
    const int dim = axes[i].dim;
    const auto dims = static_cast<int>(shape.size());
    ASHLAR_CHECK(dims > 0, "{}: {} splits a scalar along {}: replicate it (R)", what, axes[i].str(),
                 mesh.axes()[i].name);
    ASHLAR_CHECK(dim >= 0 && dim < dims,
                 "{}: {} along {} splits dim {}, but the value is [{}]: split one of dims 0 to {}",
                 what, axes[i].str(), mesh.axes()[i].name, dim, fmt::join(shape, ", "), dims - 1);
  }
}

void Placement::validate_even(const Mesh& mesh, int dim, int64_t units,
                              std::string_view what) const {
  int64_t parts = 1;
  std::vector<std::string> names;
  for (size_t i = 0; i < axes.size(); ++i) {
    if (!axes[i].is_split() || axes[i].dim != dim) continue;
    parts *= mesh.axes()[i].size;
    names.push_back(mesh.axes()[i].name);
  }
  if (units % parts == 0) return;
  std::vector<int64_t> fitting;
  for (int64_t n = 1; n <= std::min(units, 8 * parts); ++n)
    if (units % n == 0) fitting.push_back(n);
  fail("{}: {} do not divide over {} ranks along {}: use {} of them", what, units, parts,
       fmt::join(names, " and "), fmt::join(fitting, ", "));
}

std::vector<Slice> local_part(const Placement& placement, const Mesh& mesh, int rank,
                              std::span<const int64_t> shape) {
  placement.validate(mesh, shape, "value");
  const std::vector<int> mine = mesh.coordinates(rank);
  std::vector<Slice> part;
  for (const int64_t length : shape) part.push_back({0, length});
  for (const bool shards : {false, true}) {
    for (size_t i = 0; i < placement.axes.size(); ++i) {
      const AxisPlacement& on = placement.axes[i];
      if (!on.is_split() || on.is_shard() != shards) continue;
      Slice& whole = part[static_cast<size_t>(on.dim)];
      const Slice piece = slice_of(whole.length, mesh.axes()[i].size, mine[i]);
      whole = {whole.offset + piece.offset, piece.length};
    }
  }
  return part;
}

std::vector<int64_t> local_shape(const Placement& placement, const Mesh& mesh, int rank,
                                 std::span<const int64_t> shape) {
  std::vector<int64_t> lengths;
  for (const Slice& slice : local_part(placement, mesh, rank, shape))
    lengths.push_back(slice.length);
  return lengths;
}

}  // namespace ashlar
