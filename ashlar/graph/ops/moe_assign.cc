#include "ashlar/graph/ops/moe_assign.h"

#include "ashlar/base/philox.h"
#include "ashlar/graph/ops/shape_rules.h"
#include "ashlar/kernels/moe_assign.h"
#include "ashlar/kernels/ref/moe.h"

#include <type_traits>
#include <utility>

namespace ashlar::graph {
namespace {

kernels::MoeAssignSpec bound_spec(const AssignSpec& spec, const std::string& path,
                                  const Operand& chosen, const RunState& state) {
  kernels::MoeAssignSpec bound;
  bound.tokens = chosen.shape[0];
  bound.experts = spec.experts;
  bound.top_k = chosen.shape[1];
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

template <typename Number>
void MoeAssignOp::assign(std::span<const Operand> in, std::span<const Operand> out,
                         const RunState& state, comm::Communicator* comm) const {
  constexpr bool kReference = std::is_same_v<Number, double>;
  const Operand& chosen = in[0];
  const auto* weights = in[1].as<Number>();
  kernels::MoeAssignSpec spec = bound_spec(spec_, path_, chosen, state);
  std::vector<kernels::TokenRun> runs;
  std::vector<int32_t> before;
  if (ranks_) {
    runs = ranks_->runs(spec.tokens);
    spec.runs = runs;
  }
  if (spec_.capacity > 0) {
    const int64_t tokens = ranks_ ? ranks_->all(spec.tokens) : spec.tokens;
    spec.capacity = kernels::moe_capacity(tokens, spec.experts, spec.top_k, spec_.capacity);
  }
  if (ranks_ && spec.capacity > 0) {
    std::vector<int32_t> counts(runs.size() * static_cast<size_t>(spec.top_k * spec.experts));
    if constexpr (kReference) {
      kernels::ref::moe_count(spec, chosen.as<int32_t>(), weights, counts.data());
    } else {
      kernels::moe_count(spec, chosen.as<int32_t>(), weights, counts.data());
    }
    before = ranks_->stand_before(counts, spec.tokens, spec.top_k, spec.experts, comm);
    spec.before = before.data();
  }
  if constexpr (kReference) {
    kernels::ref::moe_assign(spec, chosen.as<int32_t>(), weights, maps_of(out));
  } else {
    kernels::moe_assign(spec, chosen.as<int32_t>(), weights, maps_of(out));
  }
}

void MoeAssignOp::traffic(const TrafficCall& call) const {
  if (!ranks_ || spec_.capacity <= 0) return;
  const Shape& chosen = call.inputs[0].shape;
  const std::vector<int32_t> counts(ranks_->runs(chosen[0]).size() *
                                    static_cast<size_t>(chosen[1] * spec_.experts));
  ranks_->stand_before(counts, chosen[0], chosen[1], spec_.experts, &call.comm);
}

void MoeAssignOp::run(const KernelCall& call) const {
  assign<float>(call.inputs, call.outputs, call.state, call.comm);
}

void MoeAssignOp::reference(const ReferenceCall& call) const {
  assign<double>(call.inputs, call.outputs, call.state, call.comm);
}

// Each rank sorts the pairs of its own tokens; what an expert gets there is a term of what it gets.
// Tensor ranks sort all tokens they share, since each has a part of every expert.
std::vector<AxisStrategy> MoeAssignOp::strategies(const AxisSite& site) const {
  if (site.axis == "tensor") return {};
  return {{{rows(), rows()}, {rows(), rows(), term()}}};
}

// A capacity needs what stands before on other ranks, a random choice the token's place.
std::shared_ptr<const Op> MoeAssignOp::local(const LocalSite& site) const {
  if (spec_.capacity == 0 && !spec_.random_second) return nullptr;
  auto ranks = TokenRanks::of(site, 0);
  return ranks ? std::make_shared<MoeAssignOp>(spec_, path_, std::move(ranks)) : nullptr;
}

Assignment moe_assign(Builder& b, ValueId experts, ValueId weights, const AssignSpec& spec,
                      const std::string& name) {
  const auto outputs =
      b.apply(std::make_shared<MoeAssignOp>(spec, b.path(name)), {experts, weights}, name);
  return {outputs[0], outputs[1], outputs[2]};
}

}  // namespace ashlar::graph
