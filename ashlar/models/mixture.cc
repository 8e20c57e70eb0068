#include "ashlar/models/mixture.h"

#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/grouped_linear.h"
#include "ashlar/graph/ops/linear.h"
#include "ashlar/graph/ops/moe_assign.h"
#include "ashlar/graph/ops/moe_load.h"
#include "ashlar/graph/ops/moe_route.h"
#include "ashlar/graph/ops/moe_rows.h"
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
    const ValueId down = matrix("down", {config_.mixture.experts, config_.width, config_.ffn},
                                {"expert", "embed", "ffn"}, output_std(config_));
    return grouped_linear(b_, act, down, offsets_, "down");
  }

 private:
  ValueId inner(const std::string& name, ValueId rows) const {
    const ValueId weight = matrix(name, {config_.mixture.experts, config_.ffn, config_.width},
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

}  // namespace

MixtureStates mixture_of_experts(Builder& b, const DecoderConfig& config,
                                 const DecoderOptions& options, ValueId x, ValueId residual,
                                 ValueId load_so_far) {
  const MixtureConfig& mixture = config.mixture;
  const ValueId logits = linear(b, x, router_weight(b, config, options), {}, "router", DType::kF32);
  const graph::Route route =
      moe_route(b, logits, {mixture.per_token, mixture.renormalise}, "route");
  MixtureStates result;
  if (mixture.balance) result.load = moe_load(b, logits, route.experts, load_so_far, "load");
  const graph::Assignment rows = moe_assign(
      b, route.experts, route.weights,
      {mixture.experts, mixture.capacity, mixture.random_second, mixture.padded}, "assign");
  const ValueId inputs = moe_dispatch(b, x, rows.slots, rows.sources, "dispatch");
  const ValueId outputs = Experts(b, config, options, rows.offsets)(inputs);
  result.y = moe_combine(b, outputs, route.weights, rows.slots, rows.sources, residual, "combine");
  return result;
}

}  // namespace ashlar::models
