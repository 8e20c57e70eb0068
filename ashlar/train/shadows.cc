#include "ashlar/train/gather_shadows.h"

namespace ashlar::train {

using graph::Variable;

void gather_shadows(const graph::Graph& graph, const Mesh& mesh,
                    const std::vector<Placement>& placements, runtime::VariableStore& store,
                    comm::Communicator& comm) {
  for (const Variable& shadow : graph.variables()) {
    if (shadow.kind != graph::VariableKind::kShadow || !store.contains(shadow.name)) continue;
    const Variable& master = graph.variable(shadow.source);
    if (master.shape == shadow.shape) continue;
    const Placement& placement = placements[static_cast<size_t>(shadow.source.index)];
    std::vector<std::string> axes;
    for (size_t axis = 0; axis < placement.axes.size(); ++axis) {
      if (placement.axes[axis].is_shard()) axes.push_back(mesh.axes()[axis].name);
    }
    comm::Group group = comm::group_along(mesh, comm.rank(), axes);
    group.name = "start";  // no part of a step's traffic
    // Slower axes cut first, so ranks of the group hold consecutive rows in its order.
    const int64_t row = shadow.shape.row_elements();
    std::vector<int64_t> counts;
    for (const int rank : group.ranks) {
      counts.push_back(local_part(placement, mesh, rank, master.whole.dims())[0].length * row);
    }
    const int64_t first = shadow.part.empty() ? 0 : shadow.part[0].offset;
    Tensor& all = store.at(shadow.name);
    const Tensor& rows = store.at(master.name);
    std::byte* own = all.data() + (master.part[0].offset - first) * row * size_of(all.dtype());
    convert(rows.dtype(), rows.data(), all.dtype(), own, rows.elements());
    comm.all_gather(group, {all.dtype(), own, rows.elements()}, counts,
                    {all.dtype(), all.data(), all.elements()}, shadow.name);
  }
}

}  // namespace ashlar::train
