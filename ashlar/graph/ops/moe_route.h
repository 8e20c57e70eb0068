// The router of a mixture of experts: which k of E experts a token goes to, and with what weights.
// Dims: T tokens, E experts, k choices a token.
#pragma once

#include "ashlar/graph/builder.h"

namespace ashlar::graph {

// Weights sum to 1 over the chosen experts (Mixtral), or are those of the softmax over all (Switch,
// Fedus et al. 2021: with one choice nothing else would teach the router), or as the rule says.
using RouteSpec = kernels::RouteRule;

// (logits f32 [T,E], bias f32 [E] or absent) -> (weights f32 [T,k], experts i32 [T,k]), the best
// first; of equal ones the lower expert. The bias changes the choice alone: it has no gradient.
class MoeRouteOp : public Op {
 public:
  enum Input { kLogits, kBias, kInputs };
  explicit MoeRouteOp(RouteSpec spec) : spec_(spec) {}
  const RouteSpec& spec() const { return spec_; }
  std::string_view kind() const override { return "moe_route"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
  int64_t scratch_bytes(std::span<const Operand> inputs, std::span<const Operand> outputs,
                        const kernels::KernelTable& table, int threads) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;

 private:
  RouteSpec spec_;
};

// (logits, weights, experts, d_weights f32 [T,k]) -> d_logits f32 [T,E].
class MoeRouteGradOp : public Op {
 public:
  explicit MoeRouteGradOp(RouteSpec spec) : spec_(spec) {}
  std::string_view kind() const override { return "moe_route_grad"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void run(const KernelCall& call) const override;
  void reference(const ReferenceCall& call) const override;
  std::vector<AxisStrategy> strategies(const AxisSite& site) const override;

 private:
  RouteSpec spec_;
};

struct Route {
  ValueId weights, experts;
};
// bias: invalid where there is none.
Route moe_route(Builder& b, ValueId logits, ValueId bias, const RouteSpec& spec,
                const std::string& name);
inline Route moe_route(Builder& b, ValueId logits, const RouteSpec& spec, const std::string& name) {
  return moe_route(b, logits, {}, spec, name);
}

}  // namespace ashlar::graph
