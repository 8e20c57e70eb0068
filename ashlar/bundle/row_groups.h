// Tensors that hold the rows of several parameters in groups: of each group, its share of every
// parameter's rows, one parameter after the other (WeightRule::groups). Fused queries, keys and
// values lie so.
#pragma once

#include "ashlar/tensor/tensor.h"

#include <cstdint>
#include <span>

namespace ashlar::bundle {

// The same rows parameter by parameter, and back. rows: those of each parameter, multiples of
// groups. With one group the tensor itself.
Tensor gather_groups(const Tensor& tensor, std::span<const int64_t> rows, int64_t groups);
Tensor deal_groups(const Tensor& tensor, std::span<const int64_t> rows, int64_t groups);

}  // namespace ashlar::bundle
