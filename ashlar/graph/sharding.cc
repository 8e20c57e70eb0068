#include "ashlar/graph/sharding.h"

namespace ashlar::graph {

LocalSite::Cut LocalSite::cut(int input, int dim, std::string_view axis) const {
  const AxisPlacement& on = placements[static_cast<size_t>(input)].on(mesh, axis);
  if (!on.is_split() || on.dim != dim) return {};
  return {mesh.size(axis), mesh.coordinate(rank, axis)};
}

LocalSite::Cut LocalSite::cut(int input, int dim) const {
  Cut all;
  for (const MeshAxis& axis : mesh.axes()) {
    const Cut one = cut(input, dim, axis.name);
    all = {all.parts * one.parts, all.index * one.parts + one.index};
  }
  return all;
}

AxisStrategy alike(size_t inputs, size_t outputs, AxisPlacement placement) {
  return {std::vector<AxisPlacement>(inputs, placement),
          std::vector<AxisPlacement>(outputs, placement)};
}

}  // namespace ashlar::graph
