#include "ashlar/graph/ops/long_positions.h"

#include "ashlar/graph/ops/shape_rules.h"

#include <algorithm>

namespace ashlar::graph {
namespace {

void shift_long(const LongPositionsSpec& spec, std::span<const Operand> in, const Operand& out) {
  const auto* positions = in[0].as<int32_t>();
  const auto* row_start = in[1].as<int32_t>();
  auto* rows = out.as<int32_t>();
  for (int64_t s = 0; s + 1 < in[1].shape[0]; ++s) {
    const int32_t begin = row_start[s], end = row_start[s + 1];
    if (begin == end) continue;
    const int32_t length = in[2].present
                               ? in[2].as<int32_t>()[s]
                               : *std::max_element(positions + begin, positions + end) + 1;
    const auto shift = static_cast<int32_t>(length > spec.limit ? spec.shift : 0);
    for (int32_t t = begin; t < end; ++t) rows[t] = positions[t] + shift;
  }
}

}  // namespace

std::string LongPositionsOp::attributes() const {
  return fmt::format("limit={} shift={}", spec_.limit, spec_.shift);
}

std::vector<ValueType> LongPositionsOp::infer(std::span<const ValueType> in) const {
  check_inputs(kind(), in, 3);
  check_rank(kind(), "positions", in[0], 1);
  check_dtype(kind(), "positions", in[0], DType::kI32);
  check_rank(kind(), "row_start", in[1], 1);
  check_dtype(kind(), "row_start", in[1], DType::kI32);
  if (in[2].present) check_dtype(kind(), "lengths", in[2], DType::kI32);
  return {in[0]};
}

void LongPositionsOp::run(const KernelCall& call) const {
  shift_long(spec_, call.inputs, call.outputs[0]);
}

void LongPositionsOp::reference(const ReferenceCall& call) const {
  shift_long(spec_, call.inputs, call.outputs[0]);
}

// Whole sequences only: a piece of one does not say how long it is.
std::vector<AxisStrategy> LongPositionsOp::strategies(const AxisSite& site) const {
  if (site.ring || !site.whole_sequences) return {};
  return {alike(3, 1, rows())};
}

ValueId long_positions(Builder& b, ValueId positions, ValueId row_start, ValueId lengths,
                       const LongPositionsSpec& spec, const std::string& name) {
  return b.apply1(std::make_shared<LongPositionsOp>(spec), {positions, row_start, lengths}, name);
}

}  // namespace ashlar::graph
