// Merges a norm with the products that alone read it and round its rows to bytes (linear groups,
// gated MLPs): a row is normalised a super-block at a time as it is rounded, threads meet once
// less, and the normalised rows never go to memory. The same bits.
#pragma once

#include "ashlar/graph/graph.h"

namespace ashlar::passes {

// Norms in groups, and those that others read too, stay as they are.
graph::Graph merge_norms(const graph::Graph& packed);

}  // namespace ashlar::passes
