// FLOPs that the model needs for a microbatch, forward and backward: matrix products and attention,
// of which the causal half; nothing computed twice, no embedding look-up. What MFU divides.
#pragma once

#include "ashlar/graph/graph.h"

#include <cstdint>
#include <span>

namespace ashlar::train {

double model_flops(const graph::Graph& graph, const graph::Bindings& bindings,
                   std::span<const int32_t> row_start);

}  // namespace ashlar::train
