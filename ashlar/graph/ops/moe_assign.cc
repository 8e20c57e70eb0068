#include "ashlar/graph/ops/moe_assign.h"

#include "ashlar/base/philox.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/moe_assign.h"
#include "ashlar/kernels/ref/moe.h"

namespace ashlar::graph {
namespace {

kernels::MoeAssignSpec bound_spec(const AssignSpec& spec, const std::string& path,
                                  const Operand& chosen, const RunState& state) {
  kernels::MoeAssignSpec bound;
  bound.tokens = chosen.shape[0];
  bound.experts = spec.experts;
  bound.top_k = chosen.shape[1];
  if (spec.capacity > 0) {
    bound.capacity = kernels::moe_capacity(bound.tokens, bound.experts, bound.top_k, spec.capacity);
  }
  bound.random_second = spec.random_second;
  bound.key = stream_key(state.seed, path);
  bound.step = state.step;
  bound.first_token = state.first_token;
  return bound;
}

kernels::MoeAssignment maps_of(std::span<const Operand> out) {
  return {out[0].as<int32_t>(), out[1].as<int32_t>(), out[2].as<int32_t>()};
}

}  // namespace

std::string MoeAssignOp::attributes() const {
  std::string text = fmt::format("experts={}", spec_.experts);
  if (spec_.capacity > 0) text += fmt::format(" capacity={}", spec_.capacity);
  if (spec_.random_second) text += " random_second";
  return text;
}

std::vector<ValueType> MoeAssignOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 2);
  check_rank(kind(), "experts", in[0], 2);
  check_dtype(kind(), "experts", in[0], DType::kI32);
  check_type(kind(), "weights", in[1], {DType::kF32, in[0].shape});
  ASHLAR_CHECK(spec_.experts > 0, "moe_assign: {} experts, wanted at least 1", spec_.experts);
  const Dim tokens = in[0].shape[0], top_k = in[0].shape[1];
  const Dim pairs(tokens.symbol, tokens.factor * top_k.offset, tokens.offset * top_k.offset);
  return {in[0], {DType::kI32, {pairs}}, {DType::kI32, {spec_.experts + 1}}};
}

void MoeAssignOp::run(const KernelCall& call) const {
  const Operand& chosen = call.inputs[0];
  kernels::moe_assign(bound_spec(spec_, path_, chosen, call.state), chosen.as<int32_t>(),
                      call.inputs[1].as<float>(), maps_of(call.outputs));
}

void MoeAssignOp::reference(const ReferenceCall& call) const {
  const Operand& chosen = call.inputs[0];
  kernels::ref::moe_assign(bound_spec(spec_, path_, chosen, call.state), chosen.as<int32_t>(),
                           call.inputs[1].as<double>(), maps_of(call.outputs));
}

Assignment moe_assign(Builder& b, ValueId experts, ValueId weights, const AssignSpec& spec,
                      const std::string& name) {
  const auto outputs =
      b.apply(std::make_shared<MoeAssignOp>(spec, b.path(name)), {experts, weights}, name);
  return {outputs[0], outputs[1], outputs[2]};
}

}  // namespace ashlar::graph
