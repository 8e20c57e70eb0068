// A graph as a drawing: nodes in layers from top to bottom along the flow of data, coloured by
// phase, each with its op, name, parameters and result. Edges that skip layers (residuals, what is
// saved for backward) bow out to the right.
#pragma once

#include "ashlar/graph/graph.h"

#include <string>

namespace ashlar::graph {

// A whole SVG document. The same graph gives the same text.
std::string to_svg(const Graph& graph, const std::string& title);

}  // namespace ashlar::graph
