// Cross-entropy of a linear head, in chunks of rows: the whole logits of a training step never
// exist. Dims: T tokens, C width, V vocabulary. targets < 0 are not counted. The loss of one
// microbatch is its share of the global mean: scale * sum of -log p, with scale = 1 / valid tokens
// of the global batch, so microbatches and ranks simply add. Where ranks share the vocabulary
// (Shoeybi et al. 2019), each computes the logits of its rows of the weight; of the others it
// learns three numbers a row: the highest logit, the sum of exponentials, the target's logit.
#pragma once

#include "ashlar/graph/builder.h"
#include "ashlar/graph/ops/vocabulary.h"
#include "ashlar/graph/traffic.h"

namespace ashlar::graph {

// What stands between the product and the softmax.
struct HeadSpec {
  bool bias = false;
  double softcap = 0;  // > 0: logits become softcap * tanh(logits / softcap)
};

// (x [T,C], weight [V,C], targets i32 [T], scale f32 [1], with bias: bias f32 [V]) -> loss f64 [1].
class LinearCrossEntropyOp : public Op, public Talks {
 public:
  explicit LinearCrossEntropyOp(const HeadSpec& head = {},
                                std::optional<VocabularySlice> slice = {})
      : head_(head), slice_(std::move(slice)) {}
  const HeadSpec& head() const { return head_; }
  const std::optional<VocabularySlice>& slice() const { return slice_; }
  std::string_view kind() const override { return "linear_cross_entropy"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void traffic(const TrafficCall& call) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::shared_ptr<const Op> local(const LocalSite& site) const override;

 private:
  HeadSpec head_;
  std::optional<VocabularySlice> slice_;  // of one rank of several
};

// The loss and its gradients from one set of logits: what the fuse pass makes of the ops below.
// Also the two halves by themselves, each computing the logits again: B gives d_x, W adds to grad.
// (x, weight, targets, scale, grad f32 [V,C] or absent, with bias: bias, its grad f32 [V] or
// absent)
// -> (loss, d_x [T,C], grad, bias grad), those asked for.
class LinearCrossEntropyGradOp : public Op, public Talks {
 public:
  enum Input { kX, kWeight, kTargets, kScale, kGrad, kBias, kBiasGrad };
  struct Wants {
    bool loss = false, input_grad = false, weight_grad = false, first = false;
  };
  explicit LinearCrossEntropyGradOp(Wants wants, const HeadSpec& head = {},
                                    std::optional<VocabularySlice> slice = {})
      : wants_(wants), head_(head), slice_(std::move(slice)) {}
  const Wants& wants() const { return wants_; }
  std::string_view kind() const override { return "linear_cross_entropy_grad"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  Cost cost(std::span<const Operand> inputs, std::span<const Operand> outputs) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void traffic(const TrafficCall& call) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<Alias> aliases() const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::shared_ptr<const Op> local(const LocalSite& site) const override;

 private:
  bool wants_bias_grad() const { return wants_.weight_grad && head_.bias; }
  Wants wants_;
  HeadSpec head_;
  std::optional<VocabularySlice> slice_;
};

// The bias may be invalid.
ValueId linear_cross_entropy(Builder& b, ValueId x, ValueId weight, ValueId targets, ValueId scale,
                             const std::string& name, ValueId bias = {}, double softcap = 0);

}  // namespace ashlar::graph
