#include "ashlar/graph/sharding.h"

namespace ashlar::graph {

LocalSite::Cut LocalSite::cut(int input, int dim) const {
  Cut result;
  const Placement& placement = placements[static_cast<size_t>(input)];
  const std::vector<int> mine = mesh.coordinates(rank);
  for (size_t axis = 0; axis < placement.axes.size(); ++axis) {
    const AxisPlacement& on = placement.axes[axis];
    if (!on.is_split() || on.dim != dim || mesh.axes()[axis].size == 1) continue;
    // An axis that cuts the piece of an earlier one: pieces are numbered across both.
    result.index = result.index * mesh.axes()[axis].size + mine[axis];
    result.parts *= mesh.axes()[axis].size;
    result.axis = mesh.axes()[axis].name;
  }
  return result;
}

AxisStrategy alike(size_t inputs, size_t outputs, AxisPlacement placement) {
  return {std::vector<AxisPlacement>(inputs, placement),
          std::vector<AxisPlacement>(outputs, placement)};
}

}  // namespace ashlar::graph
