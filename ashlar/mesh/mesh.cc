#include "ashlar/mesh/mesh.h"

#include "ashlar/base/edit_distance.h"
#include "ashlar/base/error.h"

#include <fmt/ranges.h>

#include <algorithm>

namespace ashlar {
namespace {

constexpr int kMaxRanks = 1 << 20;  // far above any job, far below overflow

std::vector<std::string> names_of(std::span<const MeshAxis> axes) {
  std::vector<std::string> names;
  for (const MeshAxis& axis : axes) names.push_back(axis.name);
  return names;
}

// What the sizes could be for a job of `ranks` ranks: one axis changed, the first that can be.
std::string nearest_fit(const Mesh& mesh, int ranks) {
  for (const std::string_view name : {"data", "pipe", "context", "expert", "tensor"}) {
    for (const MeshAxis& axis : mesh.axes()) {
      const int others = mesh.size() / axis.size;
      if (axis.name == name && ranks % others == 0)
        return fmt::format(" or set mesh.{}={}", name, ranks / others);
    }
  }
  return "";
}

}  // namespace

Mesh::Mesh(std::vector<MeshAxis> axes) : axes_(std::move(axes)) {
  for (size_t i = 0; i < axes_.size(); ++i) {
    const MeshAxis& axis = axes_[i];
    ASHLAR_CHECK(axis.size >= 1, "mesh.{}: {} is not positive; an axis that is not used has size 1",
                 axis.name, axis.size);
    ASHLAR_CHECK(axis.size <= kMaxRanks / size_, "mesh.{}: {} makes more than {} ranks", axis.name,
                 axis.size, kMaxRanks);
    for (size_t j = 0; j < i; ++j)
      ASHLAR_CHECK(axes_[j].name != axis.name, "mesh: two axes are named {}; names must differ",
                   axis.name);
    size_ *= axis.size;
  }
}

Mesh Mesh::standard(const MeshSizes& sizes) {
  return Mesh({{"pipe", sizes.pipe},
               {"data", sizes.data},
               {"context", sizes.context},
               {"expert", sizes.expert},
               {"tensor", sizes.tensor}});
}

int Mesh::axis(std::string_view name) const {
  const auto found = std::ranges::find(axes_, name, &MeshAxis::name);
  if (found != axes_.end()) return static_cast<int>(found - axes_.begin());
  const std::vector<std::string> names = names_of(axes_);
  const auto near = nearest(name, names);
  fail("mesh: no axis is named '{}'{}; there are: {}", name,
       near ? fmt::format(" (did you mean {}?)", *near) : "", fmt::join(names, ", "));
}

int Mesh::size(std::string_view name) const { return axes_[static_cast<size_t>(axis(name))].size; }

void Mesh::check_rank(int rank) const {
  ASHLAR_CHECK(rank >= 0 && rank < size_, "mesh {}: rank {} is not in [0, {})", str(), rank, size_);
}

std::vector<int> Mesh::coordinates(int rank) const {
  check_rank(rank);
  std::vector<int> result(axes_.size());
  for (size_t i = axes_.size(); i-- > 0;) {
    result[i] = rank % axes_[i].size;
    rank /= axes_[i].size;
  }
  return result;
}

int Mesh::coordinate(int rank, std::string_view name) const {
  return coordinates(rank)[static_cast<size_t>(axis(name))];
}

int Mesh::rank_at(std::span<const int> coordinates) const {
  ASHLAR_CHECK(coordinates.size() == axes_.size(), "mesh {}: {} coordinates for {} axes", str(),
               coordinates.size(), axes_.size());
  int rank = 0;
  for (size_t i = 0; i < axes_.size(); ++i) {
    const MeshAxis& axis = axes_[i];
    ASHLAR_CHECK(coordinates[i] >= 0 && coordinates[i] < axis.size,
                 "mesh {}: coordinate {} on {} is not in [0, {})", str(), coordinates[i], axis.name,
                 axis.size);
    rank = rank * axis.size + coordinates[i];
  }
  return rank;
}

std::vector<int> Mesh::group(int rank, std::span<const std::string> names) const {
  const std::vector<int> mine = coordinates(rank);
  std::vector<bool> varies(axes_.size());
  for (const std::string& name : names) varies[static_cast<size_t>(axis(name))] = true;
  std::vector<int> ranks;
  for (int other = 0; other < size_; ++other) {
    const std::vector<int> theirs = coordinates(other);
    bool in = true;
    for (size_t i = 0; i < axes_.size(); ++i) in = in && (varies[i] || theirs[i] == mine[i]);
    if (in) ranks.push_back(other);
  }
  return ranks;
}

void Mesh::check_job(int ranks) const {
  if (ranks == size_) return;
  fail_usage("mesh {}: {} ranks, but the job has {}: start {} ranks{}", str(), size_, ranks, size_,
             nearest_fit(*this, ranks));
}

std::string Mesh::str() const {
  std::vector<std::string> parts;
  for (const MeshAxis& axis : axes_)
    if (axis.size > 1) parts.push_back(fmt::format("{}={}", axis.name, axis.size));
  return parts.empty() ? "one rank" : fmt::format("{}", fmt::join(parts, " "));
}

}  // namespace ashlar
