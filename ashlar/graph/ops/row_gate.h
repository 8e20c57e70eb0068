// A gate for each token on a row of width C: what lets the expert that all tokens share weigh its
// part (Qwen1.5-MoE, 2024). Dims: T tokens.
#pragma once

#include "ashlar/graph/builder.h"

namespace ashlar::graph {

// (x [T,C], gate f32 [T,1], residual [T,C] or absent) -> sigmoid(gate) x + residual.
class RowGateOp : public Op {
 public:
  enum Input { kX, kGate, kResidual, kInputs };
  std::string_view kind() const override { return "row_gate"; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override { return {{0, kX, false}, {0, kResidual, false}}; }
  bool optional_input(int input) const override { return input == kResidual; }
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
};

// (x, gate, d_y) -> (d_x, d_gate).
class RowGateGradOp : public Op {
 public:
  std::string_view kind() const override { return "row_gate_grad"; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
};

ValueId row_gate(Builder& b, ValueId x, ValueId gate, ValueId residual, const std::string& name);

}  // namespace ashlar::graph
