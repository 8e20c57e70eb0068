// Ops that talk to other ranks can say what they would send, before anything runs.
#pragma once

#include "ashlar/graph/op.h"

#include <span>

namespace ashlar::graph {

// Operands have shapes, and no data but row_start's; `comm` counts.
struct TrafficCall {
  std::span<const Operand> inputs;
  std::span<const Operand> outputs;
  comm::Communicator& comm;
};

class Talks {
 public:
  virtual ~Talks() = default;
  // Makes the same calls of the communicator as Op::run().
  virtual void traffic(const TrafficCall& call) const = 0;
};

}  // namespace ashlar::graph
