// Rows of tokens to their experts and back (moe_assign.h makes the maps). Dims: T tokens, k choices
// a token, R rows (k T, or more where experts of other ranks send theirs), C width.
#pragma once

#include "ashlar/graph/builder.h"

namespace ashlar::graph {

// (x [T,C], slots i32 [T,k], sources i32 [R]) -> rows [R,C]: a copy of the token of each row's
// pair, zeros where a row has none.
class MoeDispatchOp : public Op {
 public:
  std::string_view kind() const override { return "moe_dispatch"; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
};

// (rows [R,C], weights f32 [T,k] or absent: 1, slots, sources, residual [T,C] or absent) -> y
// [T,C]: the weighted sum of each token's rows in the order of its choices, + residual. Dropped
// pairs add nothing. Without weights, the gradient of dispatch.
class MoeCombineOp : public Op {
 public:
  enum Input { kRows, kWeights, kSlots, kSources, kResidual, kInputs };
  std::string_view kind() const override { return "moe_combine"; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::vector<Alias> aliases() const override { return {{0, kResidual, false}}; }
};

// (d_y [T,C], weights, sources) -> d_rows [R,C].
class MoeCombineRowsGradOp : public Op {
 public:
  std::string_view kind() const override { return "moe_combine_rows_grad"; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
};

// (d_y [T,C], rows [R,C], slots) -> d_weights f32 [T,k]; 0 where dropped.
class MoeCombineWeightsGradOp : public Op {
 public:
  std::string_view kind() const override { return "moe_combine_weights_grad"; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
};

ValueId moe_dispatch(Builder& b, ValueId x, ValueId slots, ValueId sources,
                     const std::string& name);
ValueId moe_combine(Builder& b, ValueId rows, ValueId weights, ValueId slots, ValueId sources,
                    ValueId residual, const std::string& name);

}  // namespace ashlar::graph
