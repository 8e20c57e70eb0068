// How evenly a mixture of experts is used, and the loss that evens it out (Switch, Fedus et al.
// 2021, equation 4; over the tokens of all layers, as transformers' Mixtral has it):
//   balance = E sum_e f_e P_e, f_e the share of tokens that chose e, P_e the mean of its softmax.
// The sums behind f and P are one small value that adds along layers (and later over ranks, before
// the product is taken). Dims: T tokens, E experts, k choices a token.
#pragma once

#include "ashlar/graph/builder.h"

namespace ashlar::graph {

// (logits f32 [T,E], experts i32 [T,k], load so far f64 [2,E] or absent) -> load f64 [2,E]: row 0
// counts the choices of each expert, row 1 sums its softmax over the tokens.
class MoeLoadOp : public Op {
 public:
  std::string_view kind() const override { return "moe_load"; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
  std::vector<Alias> aliases() const override { return {{0, 2, false}}; }
};

// (logits, d_load f64 [2,E]) -> d_logits; counts are steps and have no gradient.
class MoeLoadGradOp : public Op {
 public:
  std::string_view kind() const override { return "moe_load_grad"; }
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;
};

struct BalanceSpec {
  int64_t top_k = 2;
  double coefficient = 0.01;  // of the balance in the objective
  bool operator==(const BalanceSpec&) const = default;
};

// (load f64 [2,E], scale f32 [1]) -> scale * balance, f64 [1]. With scale = 1 / microbatches those
// of a step add up to their mean. A part of what is differentiated: its own gradient is the
// coefficient.
class MoeBalanceOp : public Op {
 public:
  explicit MoeBalanceOp(BalanceSpec spec) : spec_(spec) {}
  const BalanceSpec& spec() const { return spec_; }
  std::string_view kind() const override { return "moe_balance"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;

 private:
  BalanceSpec spec_;
};

// (load, scale) -> d_load f64 [2,E].
class MoeBalanceGradOp : public Op {
 public:
  explicit MoeBalanceGradOp(BalanceSpec spec) : spec_(spec) {}
  std::string_view kind() const override { return "moe_balance_grad"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;

 private:
  BalanceSpec spec_;
};

// so_far: the load of the layers before; invalid in the first.
ValueId moe_load(Builder& b, ValueId logits, ValueId experts, ValueId so_far,
                 const std::string& name);
ValueId moe_balance(Builder& b, ValueId load, ValueId scale, const BalanceSpec& spec,
                    const std::string& name);

}  // namespace ashlar::graph
