// The ranks that take part in a collective, in the order in which their terms are added. Its name,
// the mesh axes it runs along, is what traffic is counted under.
#pragma once

#include "ashlar/mesh/mesh.h"

#include <initializer_list>
#include <span>
#include <string>
#include <vector>

namespace ashlar::comm {

struct Group {
  std::string name;
  std::vector<int> ranks;  // of the job, ascending
  int index = 0;           // of this rank in `ranks`

  int size() const { return static_cast<int>(ranks.size()); }
};

// The group of `rank` along some axes of the mesh: "data", "data+expert".
Group group_along(const Mesh& mesh, int rank, std::span<const std::string> axes);
Group group_along(const Mesh& mesh, int rank, std::initializer_list<std::string> axes);
// All ranks of a job; named "world".
Group whole_group(int ranks, int rank);

}  // namespace ashlar::comm
