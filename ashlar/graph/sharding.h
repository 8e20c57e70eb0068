// What an op knows about being run by several ranks. Along one mesh axis it has a few ways to run,
// each saying how its inputs must lie there and how its outputs then do; axes do not mix. The shard
// pass picks one way per axis, brings the inputs there with collectives, and asks the op for its
// form on one rank's part.
#pragma once

#include "ashlar/comm/group.h"
#include "ashlar/graph/dim.h"
#include "ashlar/mesh/part.h"
#include "ashlar/mesh/placement.h"

#include <cstdint>
#include <memory>
#include <span>
#include <string>
#include <vector>

namespace ashlar::graph {

class Op;
struct ValueType;

// A partial input that is optional (a bias) may be replicated before: the first rank alone adds it.
struct AxisStrategy {
  std::vector<AxisPlacement> inputs, outputs;  // one for each, absent ones included
};

// What a way to run depends on, beside the op's fields.
struct AxisSite {
  std::string_view axis;
  std::span<const ValueType> inputs;   // of the whole value
  std::span<const AxisPlacement> now;  // how the inputs lie along this axis
  bool whole_sequences = true;         // splitting tokens along it leaves sequences whole
  bool ring = false;                   // context: keys and values go round, queries stay
};

// How each row of `seq` tokens is cut over the context axis: in as many pieces as ranks, or
// `zigzag`, in twice as many, rank i taking pieces i and 2p-1-i, so that causal work is even
// (Brandon et al. 2023).
struct ContextCut {
  int64_t seq = 0;
  bool zigzag = false;
};

struct LocalSite {
  const Mesh& mesh;
  int rank = 0;
  std::span<const ValueType> inputs;      // this rank's parts
  std::span<const ValueType> whole;       // what they are parts of
  std::span<const Placement> placements;  // of the inputs
  ContextCut context;
  std::string label;                 // the node's name
  std::span<const Part> parts = {};  // of Variables among the inputs; empty: all of it, or none

  comm::Group group(const std::string& axis) const { return comm::group_along(mesh, rank, {axis}); }
  // Into how many pieces `axis` cuts dim `dim` of an input, and which of them this rank has; {1, 0}
  // where it does not.
  struct Cut {
    int parts = 1, index = 0;
  };
  Cut cut(int input, int dim, std::string_view axis) const;
  Cut cut(int input, int dim) const;  // by all axes, slower ones first
};

// Shorthands for strategies.
inline AxisPlacement whole() { return AxisPlacement::replicated(); }
inline AxisPlacement rows() { return AxisPlacement::split(0); }
inline AxisPlacement columns() { return AxisPlacement::split(1); }
inline AxisPlacement term() { return AxisPlacement::partial(); }

// All inputs and outputs alike along the axis: ops that look at one element at a time.
AxisStrategy alike(size_t inputs, size_t outputs, AxisPlacement placement);

}  // namespace ashlar::graph
