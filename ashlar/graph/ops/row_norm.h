// The norm that an op puts its rows through itself (passes/merge_norms.h): over all their channels.
#pragma once

#include "ashlar/graph/ops/norm.h"

#include <string>
#include <string_view>

namespace ashlar::graph {

// Throws unless weight, and bias where there is one, are f32 [C] of x [T,C].
void check_row_norm(std::string_view op, const ValueType& x, const ValueType& weight,
                    const ValueType& bias);
kernels::RowNorm row_norm(const NormSpec& spec, const Operand& weight, const Operand& bias);
// "rms_norm eps=1e-05"
std::string row_norm_text(const NormSpec& spec);

}  // namespace ashlar::graph
