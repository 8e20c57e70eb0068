#include "ashlar/plan/probe_rank.h"

#include "ashlar/comm/counting_communicator.h"
#include "ashlar/graph/ops/ring_attention.h"
#include "ashlar/kernels/team.h"
#include "ashlar/plan/operands.h"

#include <algorithm>
#include <cstring>
#include <limits>
#include <utility>

namespace ashlar::plan {
namespace {

using graph::Bindings;
using graph::Operand;
using graph::Symbol;
using graph::ValueId;

// As a byte of floats of any width: small numbers, neither 0 nor denormal.
constexpr int kFill = 0x3c;
constexpr int64_t kLine = 64;
constexpr int32_t kStride = 7919;  // between token ids, far from one another as those of words are

int64_t bytes_of(const Operand& operand) {
  return operand.present ? ashlar::bytes_of(operand.dtype, operand.shape.elements()) : 0;
}
int64_t padded(int64_t bytes) { return (bytes + kLine - 1) / kLine * kLine; }

std::string input_name(const graph::Graph& graph, ValueId id) {
  for (const auto& [name, input] : graph.inputs()) {
    if (input == id) return name;
  }
  return {};
}

bool is_batch_input(const std::string& name) {
  return name == "tokens" || name == "targets" || name == "positions" || name == "row_start" ||
         name == "token_types";
}

bool takes_offsets(const graph::Node& node) {
  return node.op->kind().starts_with("grouped_linear");
}

}  // namespace

bool can_probe(const TimedOp& op) {
  const graph::Op* kind = op.node.op.get();
  if (dynamic_cast<const graph::RingAttentionOp*>(kind) != nullptr) return false;
  if (dynamic_cast<const graph::RingAttentionGradOp*>(kind) != nullptr) return false;
  return std::ranges::all_of(op.node.inputs, [&](ValueId input) {
    if (!input.valid() || op.graph.type(input).dtype != DType::kI32) return true;
    return takes_offsets(op.node) || is_batch_input(input_name(op.graph, input));
  });
}

// Of all rows of the microbatch, those of context ranks too.
std::vector<int32_t> even_rows(const Bindings& bindings) {
  const int64_t seqs = std::max<int64_t>(bindings[Symbol::kSeqs], 1);
  const int64_t all = std::max(bindings[Symbol::kTokens], bindings[Symbol::kWhole]);
  std::vector<int32_t> rows;
  for (int64_t i = 0; i <= seqs; ++i) rows.push_back(static_cast<int32_t>(all * i / seqs));
  return rows;
}

void ProbeRank::prepare(const TimedOp& op, const Bindings& bindings,
                        const kernels::KernelTable& table, int64_t window) {
  const std::vector<int32_t> rows = even_rows(bindings);
  const BoundOperands bound(op.graph, bindings, rows);
  inputs_ = bound.of(op.node.inputs);
  outputs_ = bound.of(op.node.outputs);
  integers_.clear();
  int64_t needed = kLine;
  for (const auto* operands : {&inputs_, &outputs_}) {
    for (const Operand& operand : *operands) needed += padded(bytes_of(operand));
  }
  reserve(std::max(needed, window));
  for (size_t i = 0; i < inputs_.size(); ++i) {
    if (!inputs_[i].present) continue;
    if (inputs_[i].dtype == DType::kI32) {
      place_integers(op, i, rows);
    } else {
      inputs_[i].data = take(inputs_[i]);
    }
  }
  for (Operand& output : outputs_) output.data = take(output);
  for (const graph::Alias& alias : op.node.op->aliases()) {
    const Operand& input = inputs_[static_cast<size_t>(alias.input)];
    if (!alias.required || !input.present) continue;
    const int64_t row = input.shape.elements() / std::max<int64_t>(input.shape[0], 1);
    outputs_[static_cast<size_t>(alias.output)].data =
        input.data + ashlar::bytes_of(input.dtype, alias.first_row * row);
  }
  const int64_t scratch = op.node.op->scratch_bytes(inputs_, outputs_, table, pool_.threads());
  if (!scratch_ || scratch_->bytes() < scratch) scratch_.emplace(std::max(scratch, kLine));
}

void ProbeRank::run(const TimedOp& op, const Bindings& bindings,
                    const kernels::KernelTable& table) {
  // Who talks between products, as a shared vocabulary's loss does, hears nothing.
  comm::CountingCommunicator nobody(std::numeric_limits<int>::max(), 0);
  const kernels::Team team =
      kernels::make_team(pool_, {scratch_->data(), static_cast<size_t>(scratch_->bytes())});
  const graph::RunState state{.seed = 1,
                              .step = 1,
                              .first_microbatch = !op.step.accumulates,
                              .tokens = bindings[Symbol::kTokens]};
  op.node.op->run({table, team, inputs_, outputs_, state, &nobody});
}

void ProbeRank::tidy() {
  for (const Operand& output : outputs_) {
    if (output.present) std::memset(output.data, kFill, static_cast<size_t>(bytes_of(output)));
  }
}

void ProbeRank::reserve(int64_t bytes) {
  if (memory_ && memory_->bytes() >= bytes) return;
  memory_.emplace(bytes);
  std::memset(memory_->data(), kFill, static_cast<size_t>(bytes));
  at_ = 0;
}

std::byte* ProbeRank::take(const Operand& operand) {
  const int64_t bytes = padded(bytes_of(operand));
  if (at_ + bytes > memory_->bytes()) at_ = 0;
  return memory_->data() + std::exchange(at_, at_ + bytes);
}

void ProbeRank::place_integers(const TimedOp& op, size_t i, const std::vector<int32_t>& rows) {
  Operand& operand = inputs_[i];
  std::vector<int32_t>& values =
      integers_.emplace_back(static_cast<size_t>(operand.shape.elements()));
  operand.data = reinterpret_cast<std::byte*>(values.data());
  const std::string name = input_name(op.graph, op.node.inputs[i]);
  const auto count = std::ssize(values);
  for (int64_t k = 0; k < count; ++k) {
    int64_t value = 0;
    if (name == "row_start") {
      value = rows[static_cast<size_t>(k)];
    } else if (name == "positions") {
      value = k % rows[1];
    } else if (name == "token_types") {
      value = 0;
    } else if (is_batch_input(name)) {
      value = k * kStride % op.step.vocab;
    } else {  // experts that are used evenly
      value = inputs_[0].shape[0] * k / std::max<int64_t>(count - 1, 1);
    }
    values[static_cast<size_t>(k)] = static_cast<int32_t>(value);
  }
}

}  // namespace ashlar::plan
