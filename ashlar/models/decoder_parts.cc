#include "ashlar/models/decoder_parts.h"

#include "ashlar/graph/ops/elementwise.h"
#include "ashlar/graph/ops/linear.h"

#include <fmt/format.h>

#include <cmath>

namespace ashlar::models {

using graph::Init;
using graph::ValueId;

namespace {

Init normal(double std) { return {Init::Kind::kNormal, static_cast<float>(std), {}}; }

}  // namespace

ValueId DecoderParts::norm(ValueId x, const std::string& name) const {
  return norm_over(x, {config_.width}, {"embed"}, 0, config_.norm_bias, name);
}

ValueId DecoderParts::head_norm(ValueId x, int64_t heads, const char* dim,
                                const std::string& name) const {
  const int64_t head = config_.head_dim;
  const bool bias = config_.qk_norm_bias;
  switch (config_.qk_norm) {
    case QkNorm::kNone:
      return x;
    case QkNorm::kHead:
      return norm_over(x, {head}, {"head_dim"}, head, bias, name);
    case QkNorm::kEachHead:
      return norm_over(x, {heads, head}, {dim, "head_dim"}, head, bias, name);
    case QkNorm::kWidth:
      // Ranks that share the heads add up what its mean needs (passes/part_norms.h).
      return norm_over(x, {heads * head}, {dim}, 0, bias, name);
  }
  return x;
}

ValueId DecoderParts::norm_over(ValueId x, Shape shape, const std::vector<std::string>& dims,
                                int64_t group, bool bias, const std::string& name) const {
  const graph::NormSpec spec{config_.norm, config_.norm_eps, group, config_.zero_centred_norm};
  const Init one{spec.zero_centred ? Init::Kind::kZeros : Init::Kind::kOnes, 0, {}};
  if (!config_.norm_affine) {
    const ValueId ones = b_.constant(
        name + ".ones", shape, std::vector<float>(static_cast<size_t>(shape.elements()), 1.0f));
    return graph::norm(b_, x, ones, {}, spec, name);
  }
  const ValueId weight = b_.parameter(name + ".weight", shape, dims, one);
  const bool biased = config_.norm == graph::NormKind::kLayer && bias;
  const ValueId offset = biased ? b_.parameter(name + ".bias", shape, dims, {}) : ValueId{};
  return graph::norm(b_, x, weight, offset, spec, name);
}

ValueId DecoderParts::project(ValueId x, const Projection& p) const {
  const ValueId weight = matrix(p, config_.initializer_range);
  return linear(b_, x, weight, {.bias = bias(p)}, p.name);
}

ValueId DecoderParts::project_onto(ValueId residual, ValueId x, const Projection& p) const {
  if (joins_plainly()) return project_into(residual, x, p);
  return join(residual, project_into({}, x, p), p.name);
}

ValueId DecoderParts::project_into(ValueId residual, ValueId x, const Projection& p) const {
  const ValueId weight = matrix(p, output_std(config_));
  return linear(b_, x, weight, {.bias = bias(p), .residual = residual}, p.name);
}

bool DecoderParts::joins_plainly() const {
  return config_.norm_placement != NormPlacement::kOutput &&
         config_.norm_placement != NormPlacement::kBoth && config_.residual_scale == 1 &&
         config_.residual_dropout == 0;
}

ValueId DecoderParts::join(ValueId residual, ValueId y, const std::string& name) const {
  if (config_.norm_placement == NormPlacement::kOutput ||
      config_.norm_placement == NormPlacement::kBoth) {
    y = norm(y, "post_norm");
  }
  y = scale(b_, y, config_.residual_scale, name + ".scale");
  y = dropout(b_, y, config_.residual_dropout, name + ".dropout");
  return add(b_, residual, y, name + ".add");
}

ValueId DecoderParts::table(const std::string& name, int64_t rows, int64_t width,
                            const std::string& dim) const {
  return b_.parameter(name, {rows, width}, {dim, "embed"}, normal(config_.initializer_range),
                      options_.weights);
}

ValueId DecoderParts::matrix(const Projection& p, double std) const {
  return b_.parameter(fmt::format("{}.weight", p.name), {p.outputs, p.inputs},
                      {p.output_dim, p.input_dim}, normal(std), options_.weights);
}

ValueId DecoderParts::bias(const Projection& p) const {
  if (!p.bias) return {};
  return b_.parameter(fmt::format("{}.bias", p.name), {p.outputs}, {p.output_dim}, {});
}

double output_std(const DecoderConfig& config) {
  const double scale =
      config.scaled_init ? 1 / std::sqrt(2 * static_cast<double>(config.layers)) : 1;
  return config.initializer_range * scale;
}

}  // namespace ashlar::models
