// Where a drawing's boxes and edges go: a box for each node, in rows from top to bottom along the
// flow of data, and routes between them that cross no box. Pixels throughout.
#pragma once

#include "ashlar/graph/graph.h"

#include <string>
#include <vector>

namespace ashlar::graph {

constexpr double kLineHeight = 14, kPadding = 8, kMargin = 24, kHeader = 64;
constexpr double kCharacter = 7.0;  // of monospaced text at size 11; fonts differ by a few percent

struct Box {
  const Node* node;
  std::vector<std::string> lines;  // op and attributes, name, what it reads, what it gives
  size_t first_saved = 0, first_output = 0;  // in lines: values of an earlier phase, then results
  std::vector<int> from;                     // boxes that an edge comes from
  int row = 0;
  double x = 0, y = 0, width = 0, height = 0;
  double middle_x() const { return x + width / 2; }
};

// Down from (leave_x, the source's bottom) to leave_y, down to enter_y, and on to (enter_x, the
// target's top). To the next row it is a curve; one that skips rows goes down at `x`, clear of
// every box, with its horizontal parts between rows.
struct Edge {
  int from = 0, to = 0;
  bool skips = false;
  double leave_x = 0, leave_y = 0, x = 0, enter_x = 0, enter_y = 0;
};

struct Layout {
  std::vector<Box> boxes;  // of the graph's nodes, in their order
  std::vector<Edge> edges;
  double width = 0, height = 0;
};

Layout lay_out(const Graph& graph);

}  // namespace ashlar::graph
