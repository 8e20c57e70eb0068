// The router of a mixture of experts: which k of E experts a token goes to, and with what weights.
// Dims: T tokens, E experts, k choices a token.
#pragma once

#include "ashlar/graph/builder.h"

namespace ashlar::graph {

struct RouteSpec {
  int64_t top_k = 2;
  // Weights sum to 1 over the chosen experts (Mixtral), or are those of the softmax over all
  // (Switch, Fedus et al. 2021: with one choice nothing else would teach the router).
  bool renormalise = true;
};

// logits f32 [T,E] -> (weights f32 [T,k], experts i32 [T,k]), the likeliest first; of equal logits
// the lower expert.
class MoeRouteOp : public Op {
 public:
  explicit MoeRouteOp(RouteSpec spec) : spec_(spec) {}
  const RouteSpec& spec() const { return spec_; }
  std::string_view kind() const override { return "moe_route"; }
  std::string attributes() const override;
  std::vector<ValueType> infer(std::span<const ValueType> inputs) const override;
  void gradient(GradientContext& context) const override;
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
Route moe_route(Builder& b, ValueId logits, const RouteSpec& spec, const std::string& name);

}  // namespace ashlar::graph
