#include "ashlar/comm/group.h"

#include "ashlar/base/error.h"

#include <fmt/ranges.h>

#include <algorithm>
#include <numeric>

namespace ashlar::comm {

Group group_along(const Mesh& mesh, int rank, std::span<const std::string> axes) {
  Group group{fmt::format("{}", fmt::join(axes, "+")), mesh.group(rank, axes), 0};
  group.index = static_cast<int>(std::ranges::find(group.ranks, rank) - group.ranks.begin());
  return group;
}

Group group_along(const Mesh& mesh, int rank, std::initializer_list<std::string> axes) {
  return group_along(mesh, rank, std::span(axes.begin(), axes.size()));
}

Group whole_group(int ranks, int rank) {
  ASHLAR_CHECK(rank >= 0 && rank < ranks, "group: rank {} is not in [0, {})", rank, ranks);
  Group group{"world", std::vector<int>(static_cast<size_t>(ranks)), rank};
  std::iota(group.ranks.begin(), group.ranks.end(), 0);
  return group;
}

}  // namespace ashlar::comm
