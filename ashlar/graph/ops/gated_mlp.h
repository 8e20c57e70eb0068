// A whole gated MLP with packed weights in blocks of few bits, for serving: what lies between its
// products need not go to memory. Dims: T rows, K inputs, F columns between, N outputs.
#pragma once

#include "ashlar/graph/op.h"
#include "ashlar/graph/ops/norm.h"
#include "ashlar/graph/ops/packed_weight.h"

#include <optional>

namespace ashlar::graph {

struct GatedMlpWeights {
  PackedWeight gate, up, down;  // [F,K], [F,K], [N,F]
};

// x [T,K] f32 -> y [T,N] f32: f(x gate^T) * (x up^T), times down^T, + bias [N], + residual [T,N];
// with a norm, of weight and bias f32 [K], norm(x) stands for x. The bits of the ops it stands for
// (passes/merge_mlp.h, passes/merge_norms.h). Weights are u8 [P].
class GatedMlpOp : public Op {
 public:
  enum Input { kX, kGate, kUp, kDown, kBias, kResidual, kInputs };
  static constexpr size_t kNormInput = kInputs;  // its weight, where there is one; then its bias

  GatedMlpOp(kernels::Activation activation, const GatedMlpWeights& weights,
             std::optional<NormSpec> norm = {})
      : activation_(activation), weights_(weights), norm_(norm) {}
  kernels::Activation activation() const { return activation_; }
  const GatedMlpWeights& weights() const { return weights_; }
  const std::optional<NormSpec>& norm() const { return norm_; }

  std::string_view kind() const override { return "gated_mlp"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void run(const KernelCall& call) const override;
  // None: a packed weight has no fp64 values.
  void reference(const ReferenceCall& call) const override;
  bool optional_input(int input) const override {
    return input >= kBias && static_cast<size_t>(input) != kNormInput;
  }

 private:
  kernels::GatedMlpArgs args(std::span<const Operand> inputs, const Operand& y) const;

  kernels::Activation activation_;
  GatedMlpWeights weights_;
  std::optional<NormSpec> norm_;
};

}  // namespace ashlar::graph
