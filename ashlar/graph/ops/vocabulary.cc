#include "ashlar/graph/ops/vocabulary.h"

#include "ashlar/graph/op.h"

namespace ashlar::graph {

std::optional<VocabularySlice> vocabulary_slice(const LocalSite& site, int table) {
  const Placement& placement = site.placements[static_cast<size_t>(table)];
  std::vector<std::string> cut_by;
  for (size_t axis = 0; axis < placement.axes.size(); ++axis) {
    const MeshAxis& on = site.mesh.axes()[axis];
    if (on.size > 1 && placement.axes[axis] == rows()) cut_by.push_back(on.name);
  }
  if (cut_by.empty()) return std::nullopt;
  const Shape whole = site.whole[static_cast<size_t>(table)].shape.bind({});
  VocabularySlice slice;
  slice.group = comm::group_along(site.mesh, site.rank, cut_by);
  slice.label = site.label;
  slice.rows = local_part(placement, site.mesh, site.rank, whole.dims())[0];
  slice.largest = slice_of(whole[0], slice.group.size(), 0).length;
  return slice;
}

}  // namespace ashlar::graph
