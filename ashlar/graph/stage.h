// One stage of a model that a pipeline runs: what passes::split_stages makes of a training graph,
// and what a chunk of a rank runs. A value NAME that crosses a border is the output "send.NAME" of
// the stage it leaves and the input "recv.NAME" of the stage it reaches.
#pragma once

#include "ashlar/graph/graph.h"

#include <set>
#include <string>
#include <vector>

namespace ashlar::graph {

inline constexpr const char* kSend = "send.";
inline constexpr const char* kRecv = "recv.";
// f64 [1]: the output of phase N that holds this stage's share of the squared gradient norm, and
// the input of phase U that takes the sum over all stages.
inline constexpr const char* kSquaresPart = "squares.part";
inline constexpr const char* kSquaresWhole = "squares.whole";

// NAMEs of the values of one message, in their order.
using Message = std::vector<std::string>;

// A gradient as the update reads it: whole, or the rows that are this rank's.
struct StageGradient {
  std::string name;  // of the Variable
  int64_t first_row = 0, rows = 0;
  std::vector<int> stages;  // that hold a copy, whose sum is the gradient; the first one owns it
};

struct Stage {
  int index = 0, count = 1;
  Graph graph;
  Message activation_in, activation_out;  // with F: from the stage before, to the one behind
  Message gradient_in, gradient_out;      // with B: from the stage behind, to the one before
  std::set<std::string> alike;            // NAMEs of which the tensor ranks hold the same
  std::vector<StageGradient> gradients;
  double max_norm = 0;  // at which gradients are clipped; <= 0: they are not
  // Parameters (and what belongs to them) of which an earlier stage is the owner of record: this
  // stage's copy is counted in no norm and saved in no checkpoint.
  std::vector<std::string> borrowed;

  bool owns(const std::string& variable) const;
};

}  // namespace ashlar::graph
