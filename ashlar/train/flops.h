// FLOPs that the model needs for a microbatch, forward and backward: matrix products and attention,
// of which the causal half; nothing computed twice, no embedding look-up. What MFU divides.
#pragma once

#include "ashlar/base/clock.h"
#include "ashlar/base/isa_tier.h"
#include "ashlar/graph/graph.h"

#include <cstdint>
#include <span>

namespace ashlar::train {

double model_flops(const graph::Graph& graph, const graph::Bindings& bindings,
                   std::span<const int32_t> row_start);

// The most FLOPs a second that these threads reach in registers, for products of `dtype`: about a
// second's look at the machine.
double measure_peak(DType dtype, IsaTier tier, int threads, const Clock& clock);

}  // namespace ashlar::train
