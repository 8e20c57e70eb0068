#include "ashlar/train/shadows.h"

namespace ashlar::train {
namespace {

using graph::Variable;

void gather(const graph::Graph& graph, const Variable& shadow, const Variable& master,
            const passes::ShardPlan& plan, runtime::VariableStore& store,
            comm::Communicator& comm) {
  const Placement placement = passes::variable_placement(graph, master, plan);
  std::vector<std::string> axes;
  for (size_t axis = 0; axis < placement.axes.size(); ++axis) {
    if (placement.axes[axis].is_shard()) axes.push_back(plan.mesh.axes()[axis].name);
  }
  comm::Group group = comm::group_along(plan.mesh, comm.rank(), axes);
  group.name = "start";  // no part of a step's traffic
  // Slower axes cut first, so ranks of the group hold consecutive rows in its order.
  const int64_t row = shadow.shape.row_elements();
  std::vector<int64_t> counts;
  for (const int rank : group.ranks) {
    counts.push_back(local_part(placement, plan.mesh, rank, master.whole.dims())[0].length * row);
  }
  const int64_t first = shadow.part.empty() ? 0 : shadow.part[0].offset;
  Tensor& all = store.at(shadow.name);
  const Tensor& rows = store.at(master.name);
  std::byte* own = all.data() + (master.part[0].offset - first) * row * size_of(all.dtype());
  convert(rows.dtype(), rows.data(), all.dtype(), own, rows.elements());
  comm.all_gather(group, {all.dtype(), own, rows.elements()}, counts,
                  {all.dtype(), all.data(), all.elements()}, shadow.name);
}

}  // namespace

void make_shadows(const graph::Graph& graph, const passes::ShardPlan& plan,
                  runtime::VariableStore& store, comm::Communicator* comm) {
  for (const Variable& shadow : graph.variables()) {
    if (shadow.kind != graph::VariableKind::kShadow) continue;
    const Variable& master = graph.variable(shadow.source);
    if (comm == nullptr || master.shape == shadow.shape) {
      store.refresh_shadow(graph, shadow);
    } else {
      gather(graph, shadow, master, plan, store, *comm);
    }
  }
}

}  // namespace ashlar::train
