#include "ashlar/graph/ops/row_norm.h"

#include "ashlar/graph/ops/shape_rules.h"

#include <fmt/format.h>

namespace ashlar::graph {

void check_row_norm(std::string_view op, const ValueType& x, const ValueType& weight,
                    const ValueType& bias) {
  const ValueType wanted{DType::kF32, {x.shape[1]}};
  check_type(op, "norm weight", weight, wanted);
  if (bias.present) check_type(op, "norm bias", bias, wanted);
}

kernels::RowNorm row_norm(const NormSpec& spec, const Operand& weight, const Operand& bias) {
  kernels::RowNorm norm;
  norm.weight = weight.as<float>();
  if (bias.present) norm.bias = bias.as<float>();
  norm.eps = static_cast<float>(spec.eps);
  norm.weight_offset = spec.zero_centred ? 1 : 0;
  norm.layer = spec.kind == NormKind::kLayer;
  return norm;
}

std::string row_norm_text(const NormSpec& spec) {
  const NormOp op(spec);
  return fmt::format("{} {}", op.kind(), op.attributes());
}

}  // namespace ashlar::graph
