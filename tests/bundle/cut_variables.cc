#include "tests/bundle/cut_variables.h"

#include "ashlar/mesh/part.h"

namespace ashlar::testing {

graph::Graph cut_variables(const graph::Graph& graph, const Mesh& mesh, int rank, const Lie& lie) {
  graph::Graph result;
  for (graph::Variable variable : graph.variables()) {
    const auto placement = lie(variable);
    if (!placement) continue;
    variable.source = {};  // numbers of the other list
    const Part part = local_part(*placement, mesh, rank, variable.shape.dims());
    if (part != whole_part(variable.shape.dims())) {
      variable.whole = variable.shape;
      variable.part = part;
      variable.shape = Shape(lengths(part));
    }
    result.add_variable(std::move(variable));
  }
  return result;
}

}  // namespace ashlar::testing
