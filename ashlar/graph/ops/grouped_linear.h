// Linear layers of a mixture of experts: rows sorted by expert, each expert's by its own matrix,
// and the two halves of their backward. Only rows below offsets[E] are read, so nothing is padded
// and nothing dropped (MegaBlocks, Gale et al. 2023); a row has the bits that `linear` gives it.
// Dims: R rows, E experts, K inputs, N outputs.
#pragma once

#include "ashlar/graph/builder.h"
#include "ashlar/graph/ops/packed_weight.h"

namespace ashlar::graph {

// Which share of the rows R is used on the mean, for costs: on a rank that holds some of the
// experts, R is as many rows as can come.
struct RowShare {
  double used = 1;
};

// (x [R,K], weight [E,N,K], offsets i32 [E+1]) -> y [R,N]; expert e owns rows offsets[e] ..
// offsets[e+1]. Rows beyond offsets[E] become zeros, whatever x holds there. packed: weight
// is u8 [E,P], a row an expert's matrix.
class GroupedLinearOp : public Op {
 public:
  enum Input { kX, kWeight, kOffsets, kInputs };
  explicit GroupedLinearOp(PackedWeight packed = {}, RowShare share = {})
      : packed_(packed), share_(share) {}
  PackedWeight packed() const { return packed_; }
  std::string_view kind() const override { return "grouped_linear"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::shared_ptr<const Op> local(const LocalSite& site) const override;

 private:
  PackedWeight packed_;
  RowShare share_;
};

// d_x = d_y W (+ residual, a gradient that reaches x another way); zeros beyond offsets[E]. Inputs
// (d_y, weight, offsets, residual).
class GroupedLinearInputGradOp : public Op {
 public:
  enum Input { kDy, kWeight, kOffsets, kResidual, kInputs };
  explicit GroupedLinearInputGradOp(RowShare share = {}) : share_(share) {}
  std::string_view kind() const override { return "grouped_linear_input_grad"; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::shared_ptr<const Op> local(const LocalSite& site) const override;

 private:
  RowShare share_;
};

// grad[e] (+)= d_y^T x over the rows of e. Inputs (d_y, x, offsets, grad f32 [E,N,K]). An expert
// without rows: zeros in the first microbatch when `first`, untouched otherwise.
class GroupedLinearWeightGradOp : public Op {
 public:
  enum Input { kDy, kX, kOffsets, kGrad, kInputs };
  explicit GroupedLinearWeightGradOp(bool first, RowShare share = {})
      : first_(first), share_(share) {}
  std::string_view kind() const override { return "grouped_linear_weight_grad"; }
  std::string attributes() const override { return first_ ? "first" : ""; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::shared_ptr<const Op> local(const LocalSite& site) const override;
  std::vector<Alias> aliases() const override { return {{0, kGrad, true}}; }

 private:
  bool first_;
  RowShare share_;
};

ValueId grouped_linear(Builder& b, ValueId x, ValueId weight, ValueId offsets,
                       const std::string& name);

}  // namespace ashlar::graph
