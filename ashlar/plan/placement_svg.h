// How values lie on a mesh as a drawing: a row for each, a box for each rank that stands for the
// whole value, filled where the rank holds it, hatched where that is a term of a sum still owed.
#pragma once

#include "ashlar/mesh/mesh.h"
#include "ashlar/mesh/part.h"
#include "ashlar/tensor/shape.h"

#include <string>
#include <vector>

namespace ashlar::plan {

struct DrawnPlacement {
  std::string name, placement;
  Shape whole;
  std::vector<std::vector<Part>> parts;  // rank after rank, in one piece or several
  std::string op = {};                   // what makes it
  bool term = false;
};

// A whole SVG document. The first dim of a value goes down, its last one across.
std::string placements_svg(const Mesh& mesh, const std::vector<DrawnPlacement>& values);

}  // namespace ashlar::plan
