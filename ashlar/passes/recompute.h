// Trades time for memory (Chen et al. 2016): values that backward needs are computed again there,
// from what is kept, rather than held since forward. The same ops with the same keys, so the same
// bits, dropout's masks included.
#pragma once

#include "ashlar/graph/graph.h"

#include <cstdint>

namespace ashlar::passes {

enum class Recompute : uint8_t {
  kNone,
  kFull,         // keeps what enters a layer
  kSelective,    // keeps all but what attention returns, and under sequence parallelism what was
                 // gathered for a layer's products (Korthikanti et al. 2022)
  kActivations,  // keeps all but what activation functions return: one pass over what entered
  kSqrt,         // keeps what enters every ceil(sqrt(layers))-th layer
};

// Runs behind differentiate and precision, before fuse. What is computed again is of phase B,
// stands before the first node that needs anything of its layer (node, group of layers), and
// is marked.
graph::Graph recompute(const graph::Graph& graph, Recompute mode);

}  // namespace ashlar::passes
