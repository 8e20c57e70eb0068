// Linear layers: y = epilogue(x W^T), and the two halves of their backward.
// Dims: T rows, K inputs, N outputs, r rank of a low-rank term.
#pragma once

#include "ashlar/graph/builder.h"
#include "ashlar/graph/ops/packed_weight.h"

namespace ashlar::graph {

struct LinearOptions {
  ValueId bias = {};      // [N]
  ValueId residual = {};  // [T,N], added last
  // A low-rank term (LoRA, Hu et al. 2021): y += down up^T before bias; down [T,r] is itself a
  // linear of x, up [N,r].
  ValueId low_rank_down = {};
  ValueId low_rank_up = {};
  kernels::Activation activation =
      kernels::Activation::kNone;  // inference only: not differentiable
};

// x [T,K] f32|bf16, weight [N,K] -> y [T,N] of x's dtype, or `out` when set (logits in f32).
// packed: the weight is u8 [P].
class LinearOp : public Op {
 public:
  enum Input { kX, kWeight, kBias, kResidual, kDown, kUp, kInputs };

  explicit LinearOp(kernels::Activation activation = kernels::Activation::kNone,
                    std::optional<DType> out = std::nullopt, PackedWeight packed = {})
      : activation_(activation), out_(out), packed_(packed) {}

  kernels::Activation activation() const { return activation_; }
  std::optional<DType> out() const { return out_; }
  PackedWeight packed() const { return packed_; }

  std::string_view kind() const override { return "linear"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  bool optional_input(int input) const override { return input == kBias || input == kResidual; }
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;

 private:
  kernels::Activation activation_;
  std::optional<DType> out_;
  PackedWeight packed_;
};

// d_x = d_y W (+ residual, a gradient that reaches x another way), of d_y's dtype, or `out` when
// set (x's, where y is not of it). Inputs (d_y, weight, residual).
class LinearInputGradOp : public Op {
 public:
  explicit LinearInputGradOp(std::optional<DType> out = std::nullopt) : out_(out) {}
  std::optional<DType> out() const { return out_; }
  std::string attributes() const override;
  std::string_view kind() const override { return "linear_input_grad"; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;

 private:
  std::optional<DType> out_;
};

// grad (+)= d_y^T x. Inputs (d_y, x, grad); `first`: nothing was added before in this step, so the
// first microbatch writes instead of adding.
class LinearWeightGradOp : public Op {
 public:
  explicit LinearWeightGradOp(bool first) : first_(first) {}
  std::string_view kind() const override { return "linear_weight_grad"; }
  std::string attributes() const override { return first_ ? "first" : ""; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::vector<Alias> aliases() const override { return {{0, 2, true}}; }

 private:
  bool first_;
};

// grad (+)= column sums of d_y: the gradient of a bias. Inputs (d_y, grad).
class BiasGradOp : public Op {
 public:
  explicit BiasGradOp(bool first) : first_(first) {}
  std::string_view kind() const override { return "bias_grad"; }
  std::string attributes() const override { return first_ ? "first" : ""; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::vector<Alias> aliases() const override { return {{0, 1, true}}; }

 private:
  bool first_;
};

ValueId linear(Builder& b, ValueId x, ValueId weight, const LinearOptions& options,
               const std::string& name, std::optional<DType> out = std::nullopt);

}  // namespace ashlar::graph
