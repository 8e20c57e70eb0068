// RMS norm and layer norm, and the two halves of their backward. Dims: T rows, C width.
#pragma once

#include "ashlar/graph/builder.h"

namespace ashlar::graph {

enum class NormKind : uint8_t { kRms, kLayer };

// (x [T,C], weight f32 [C], bias f32 [C] or absent) -> (y [T,C], rstd f32 [T], layer: mean f32
// [T]).
class NormOp : public Op {
 public:
  NormOp(NormKind norm, double eps) : norm_(norm), eps_(eps) {}
  NormKind norm() const { return norm_; }
  std::string_view kind() const override {
    return norm_ == NormKind::kRms ? "rms_norm" : "layer_norm";
  }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;

 private:
  NormKind norm_;
  double eps_;
};

// (x, weight, rstd, mean or absent, d_y, residual gradient or absent) -> d_x.
class NormInputGradOp : public Op {
 public:
  enum Input { kX, kWeight, kRstd, kMean, kDy, kResidual, kInputs };
  std::string_view kind() const override { return "norm_input_grad"; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::vector<Alias> aliases() const override { return {{0, kDy, false}, {0, kResidual, false}}; }
};

// (x, rstd, mean or absent, d_y, weight grad, bias grad or absent) -> (weight grad, bias grad).
class NormWeightGradOp : public Op {
 public:
  enum Input { kX, kRstd, kMean, kDy, kWeightGrad, kBiasGrad, kInputs };
  NormWeightGradOp(bool first, bool has_bias) : first_(first), has_bias_(has_bias) {}
  std::string_view kind() const override { return "norm_weight_grad"; }
  std::string attributes() const override { return first_ ? "first" : ""; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::vector<Alias> aliases() const override;

 private:
  bool first_;
  bool has_bias_;
};

// Returns y.
ValueId rms_norm(Builder& b, ValueId x, ValueId weight, double eps, const std::string& name);
ValueId layer_norm(Builder& b, ValueId x, ValueId weight, ValueId bias, double eps,
                   const std::string& name);

}  // namespace ashlar::graph
