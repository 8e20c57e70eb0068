// RMS norm and layer norm, and the two halves of their backward. Dims: T rows, C width, G groups of
// C / G channels that are normalised by themselves (heads), one where nothing else is said.
#pragma once

#include "ashlar/graph/builder.h"

namespace ashlar::graph {

enum class NormKind : uint8_t { kRms, kLayer };

struct NormSpec {
  NormKind kind = NormKind::kRms;
  double eps = 1e-6;
  int64_t group = 0;          // channels of a group; 0: all
  bool zero_centred = false;  // channels are scaled by 1 + weight (Gemma)
};

// (x [T,C], weight f32 [C], bias f32 [C] or absent) -> (y [T,C], rstd f32 [T], layer: mean f32
// [T]). With groups the weight and bias are [C/G], alike for all, or [G,C/G], and rstd and mean are
// [T,G].
class NormOp : public Op {
 public:
  explicit NormOp(const NormSpec& spec) : spec_(spec) {}
  std::string_view kind() const override {
    return spec_.kind == NormKind::kRms ? "rms_norm" : "layer_norm";
  }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  const NormSpec& spec() const { return spec_; }

 private:
  NormSpec spec_;
};

// (x, weight, rstd, mean or absent, d_y, residual gradient or absent) -> d_x.
class NormInputGradOp : public Op {
 public:
  enum Input { kX, kWeight, kRstd, kMean, kDy, kResidual, kInputs };
  explicit NormInputGradOp(const NormSpec& spec) : spec_(spec) {}
  std::string_view kind() const override { return "norm_input_grad"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::vector<Alias> aliases() const override { return {{0, kDy, false}, {0, kResidual, false}}; }
  const NormSpec& spec() const { return spec_; }

 private:
  NormSpec spec_;
};

// (x, rstd, mean or absent, d_y, weight grad, bias grad or absent) -> (weight grad, bias grad).
class NormWeightGradOp : public Op {
 public:
  enum Input { kX, kRstd, kMean, kDy, kWeightGrad, kBiasGrad, kInputs };
  NormWeightGradOp(const NormSpec& spec, bool first, bool has_bias)
      : spec_(spec), first_(first), has_bias_(has_bias) {}
  std::string_view kind() const override { return "norm_weight_grad"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::vector<Alias> aliases() const override;

 private:
  NormSpec spec_;
  bool first_;
  bool has_bias_;
};

// Returns y. The bias may be invalid.
ValueId norm(Builder& b, ValueId x, ValueId weight, ValueId bias, const NormSpec& spec,
             const std::string& name);
ValueId rms_norm(Builder& b, ValueId x, ValueId weight, double eps, const std::string& name);
ValueId layer_norm(Builder& b, ValueId x, ValueId weight, ValueId bias, double eps,
                   const std::string& name);

}  // namespace ashlar::graph
