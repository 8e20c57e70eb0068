// Linear layers of one x with packed weights in blocks of few bits, for serving: queries, keys and
// values. x is normalised and rounded once, and threads meet once for all of them. Dims: T rows, K
// inputs, N outputs, each product's own.
#pragma once

#include "ashlar/graph/op.h"
#include "ashlar/graph/ops/norm.h"
#include "ashlar/graph/ops/packed_weight.h"

#include <optional>

namespace ashlar::graph {

// x [T,K] f32 -> y_i [T,N_i] f32: norm(x) W_i^T + bias_i [N_i]. Inputs: x, the weights (u8 [P_i]),
// the biases, each of which may be absent; with a norm its weight and bias (absent: none), f32 [K].
// The bits of the ops it stands for (passes/merge_linears.h, passes/merge_norms.h).
class LinearGroupOp : public Op {
 public:
  static constexpr size_t kX = 0;

  explicit LinearGroupOp(std::vector<PackedWeight> weights, std::optional<NormSpec> norm = {})
      : weights_(std::move(weights)), norm_(norm) {}
  const std::vector<PackedWeight>& weights() const { return weights_; }
  const std::optional<NormSpec>& norm() const { return norm_; }
  size_t weight_input(size_t i) const { return 1 + i; }
  size_t bias_input(size_t i) const { return 1 + weights_.size() + i; }
  size_t norm_input() const { return 1 + 2 * weights_.size(); }

  std::string_view kind() const override { return "linear_group"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void run(const KernelCall& call) const override;
  // None: a packed weight has no fp64 values.
  void reference(const ReferenceCall& call) const override;
  bool optional_input(int input) const override {
    return static_cast<size_t>(input) >= bias_input(0) &&
           static_cast<size_t>(input) != norm_input();
  }

 private:
  std::vector<kernels::GemmArgs> args(std::span<const Operand> inputs,
                                      std::span<const Operand> outputs) const;

  std::vector<PackedWeight> weights_;  // at most kernels::kMostProducts
  std::optional<NormSpec> norm_;
};

}  // namespace ashlar::graph
