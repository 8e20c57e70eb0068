// Soft caps: y = cap tanh(x / cap), which Gemma 2 has behind its head. Scores of attention have
// theirs inside attention (AttentionMask), training's logits inside the loss.
#pragma once

#include "ashlar/graph/builder.h"

namespace ashlar::graph {

class SoftcapOp : public Op {
 public:
  explicit SoftcapOp(double cap) : cap_(cap) {}
  std::string_view kind() const override { return "softcap"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::vector<Alias> aliases() const override { return {{0, 0, false}}; }

 private:
  double cap_;
};

// d_x from (y, d_y).
class SoftcapGradOp : public Op {
 public:
  explicit SoftcapGradOp(double cap) : cap_(cap) {}
  std::string_view kind() const override { return "softcap_grad"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::vector<Alias> aliases() const override { return {{0, 1, false}}; }

 private:
  double cap_;
};

// x itself when the cap is 0.
ValueId softcap(Builder& b, ValueId x, double cap, const std::string& name);

}  // namespace ashlar::graph
