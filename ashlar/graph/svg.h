// A graph as a drawing: nodes in rows from top to bottom along the flow of data, coloured by phase,
// each with its op, name, parameters and result. What forward leaves for backward, and both for the
// update, is named in the box that reads it ("from NAME"): drawn, it would hide all else.
#pragma once

#include "ashlar/graph/graph.h"

#include <string>

namespace ashlar::graph {

// A whole SVG document. The same graph gives the same text.
std::string to_svg(const Graph& graph, const std::string& title);

}  // namespace ashlar::graph
