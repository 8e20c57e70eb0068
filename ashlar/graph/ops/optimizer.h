// Update rules as ops of phase U: the global gradient norm, clipping, AdamW.
#pragma once

#include "ashlar/graph/builder.h"

namespace ashlar::graph {

// (gradients f32 or bf16...) -> f64 [1]: the sum of all squares, Variable by Variable in the order
// given.
class SumSquaresOp : public Op {
 public:
  std::string_view kind() const override { return "sum_squares"; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  bool optional_input(int) const override { return true; }
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
};

// What clipping multiplies gradients by.
double clip_scale(double norm, double max_norm);

// (sum of squares f64 [1], loss scale f32 [1] or absent) -> (norm f32 [1], scale f32 [1]): scale =
// min(1, max_norm / (norm + 1e-6)), as torch.nn.utils.clip_grad_norm_ has it; max_norm <= 0: scale
// is 1. Where the gradients are those of a scaled loss, norm is that of the true ones and scale
// makes true ones of them.
class ClipScaleOp : public Op {
 public:
  explicit ClipScaleOp(double max_norm) : max_norm_(max_norm) {}
  double max_norm() const { return max_norm_; }
  std::string_view kind() const override { return "clip_scale"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;

 private:
  double max_norm_;
};

struct AdamWSpec {
  double beta1 = 0.9, beta2 = 0.95, eps = 1e-8, weight_decay = 0.1;
  std::string stochastic = {};  // the stream that rounds a bf16 parameter; empty: to nearest even
};

// (param f32, or bf16 where it has no master, grad f32 or bf16, m f32, v f32, lr f32 [1], scale f32
// [1], shadow bf16 or f16 or absent) -> (param, m, v, shadow). The step for bias correction is the
// run's.
class AdamWOp : public Op {
 public:
  enum Input { kParam, kGrad, kM, kV, kLr, kScale, kShadow, kInputs };
  // place: in the whole parameter, of a part of it.
  AdamWOp(AdamWSpec spec, bool has_shadow, PartRuns place = {})
      : spec_(std::move(spec)), has_shadow_(has_shadow), place_(place) {}
  const AdamWSpec& spec() const { return spec_; }
  bool has_shadow() const { return has_shadow_; }
  std::string_view kind() const override { return "adamw"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  // Stochastic rounding draws by the element of the whole: the same on every layout.
  std::shared_ptr<const Op> local(const LocalSite& site) const override;
  std::vector<Alias> aliases() const override;

 private:
  AdamWSpec spec_;
  bool has_shadow_;
  PartRuns place_;
};

}  // namespace ashlar::graph
