// Merges products of one value with packed weights in blocks of few bits, as queries, keys and
// values are, into one op: the value is rounded once, and threads meet once. The same bits.
#pragma once

#include "ashlar/graph/graph.h"

namespace ashlar::passes {

// Products with adapters, residuals or activations, or of 16-bit values, stay as they are.
graph::Graph merge_linears(const graph::Graph& packed);

}  // namespace ashlar::passes
