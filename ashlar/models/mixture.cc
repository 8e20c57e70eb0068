#include "ashlar/models/mixture.h"

#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/grouped_linear.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/moe_assign.h"
#include "ashlar/graph/ops/moe_load.h"
#include "ashlar/graph/ops/moe_route.h"
#include "ashlar/graph/ops/moe_rows.h"
#include "ashlar/graph/ops/row_gate.h"
#include "ashlar/models/decoder_mlp.h"
#include "ashlar/models/decoder_parts.h"

namespace ashlar::models {
namespace {

using graph::Builder;
using graph::Init;
using graph::ValueId;

Init normal(double std) { return {Init::Kind::kNormal, static_cast<float>(std), {}}; }

// The router's rows are not named "expert": every rank that holds some experts chooses among all.
ValueId router_weight(Builder& b, const DecoderConfig& config, const DecoderOptions& options) {
  return b.parameter("router.weight", {config.mixture.experts, config.width}, {"router", "embed"},
                     normal(config.initializer_range), options.weights);
}

// What moves the choice of each expert, as files have it: always f32, and no gradient reaches it.
ValueId correction(Builder& b, int64_t experts) {
  graph::Variable variable;
  variable.name = b.path("router.correction");
  variable.kind = graph::VariableKind::kParameter;
  variable.shape = {experts};
  variable.dims = {"router"};
  variable.trainable = false;
  return b.graph().current(b.graph().add_variable(std::move(variable)));
}

graph::RouteSpec route_spec(const MixtureConfig& mixture) {
  return {.top_k = mixture.per_token,
          .renormalise = mixture.renormalise,
          .score = mixture.score,
          .scale = static_cast<float>(mixture.scale),
          .groups = mixture.groups,
          .top_groups = mixture.top_groups,
          .group_best = mixture.group_best};
}

// The experts' MLPs over rows sorted by expert.
class Experts {
 public:
  Experts(Builder& b, const DecoderConfig& config, const DecoderOptions& options, ValueId offsets)
      : b_(b), config_(config), options_(options), offsets_(offsets) {}

  ValueId operator()(ValueId rows) const {
    const auto scope = b_.scope("experts");
    const ValueId up = inner("up", rows);
    const ValueId act = config_.gated
                            ? gated(b_, inner("gate", rows), up, config_.activation, "act")
                            : activation(b_, up, config_.activation, "act");
    const ValueId down =
        matrix("down", {config_.mixture.experts, config_.width, config_.expert_ffn()},
               {"expert", "embed", "ffn"}, output_std(config_));
    return grouped_linear(b_, act, down, offsets_, "down");
  }

 private:
  ValueId inner(const std::string& name, ValueId rows) const {
    const ValueId weight =
        matrix(name, {config_.mixture.experts, config_.expert_ffn(), config_.width},
               {"expert", "ffn", "embed"}, config_.initializer_range);
    return grouped_linear(b_, rows, weight, offsets_, name);
  }

  ValueId matrix(const std::string& name, Shape shape, std::vector<std::string> dims,
                 double std) const {
    return b_.parameter(name + ".weight", shape, std::move(dims), normal(std), options_.weights);
  }

  Builder& b_;
  const DecoderConfig& config_;
  const DecoderOptions& options_;
  ValueId offsets_;
};

// The experts that all tokens share, added to what the others give.
ValueId add_shared(const DecoderParts& parts, ValueId x, ValueId routed) {
  Builder& b = parts.builder();
  const DecoderConfig& config = parts.config();
  const auto scope = b.scope("shared");
  const int64_t ffn = config.shared_ffn();
  const ValueId inner = mlp_inner(parts, x, ffn);
  const Projection down{"down", config.width, ffn, "embed", "ffn", config.mlp_bias};
  if (!config.mixture.shared_gate) return parts.project_into(routed, inner, down);
  const ValueId weight = b.parameter("choice.weight", {1, config.width}, {"router", "embed"},
                                     normal(config.initializer_range), parts.options().weights);
  const ValueId gate = linear(b, x, weight, {}, "choice", DType::kF32);
  return row_gate(b, parts.project_into({}, inner, down), gate, routed, "weighed");
}

}  // namespace

MixtureStates mixture_of_experts(const DecoderParts& parts, ValueId x, ValueId residual,
                                 ValueId load_so_far) {
  Builder& b = parts.builder();
  const DecoderConfig& config = parts.config();
  const DecoderOptions& options = parts.options();
  const MixtureConfig& mixture = config.mixture;
  const ValueId logits = linear(b, x, router_weight(b, config, options), {}, "router", DType::kF32);
  const ValueId bias = mixture.correction ? correction(b, mixture.experts) : ValueId{};
  const graph::Route route = moe_route(b, logits, bias, route_spec(mixture), "route");
  MixtureStates result;
  if (mixture.balance) result.load = moe_load(b, logits, route.experts, load_so_far, "load");
  const graph::Assignment rows = moe_assign(
      b, route.experts, route.weights,
      {mixture.experts, mixture.capacity, mixture.random_second, mixture.padded}, "assign");
  const ValueId inputs = moe_dispatch(b, x, rows.slots, rows.sources, "dispatch");
  const ValueId outputs = Experts(b, config, options, rows.offsets)(inputs);
  result.y = moe_combine(b, outputs, route.weights, rows.slots, rows.sources, residual, "combine");
  if (mixture.shared_experts > 0) result.y = add_shared(parts, x, result.y);
  return result;
}

}  // namespace ashlar::models
