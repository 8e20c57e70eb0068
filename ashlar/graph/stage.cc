#include "ashlar/graph/stage.h"

#include <algorithm>

namespace ashlar::graph {

bool Stage::owns(const std::string& variable) const {
  return std::ranges::find(borrowed, variable) == borrowed.end();
}

}  // namespace ashlar::graph
