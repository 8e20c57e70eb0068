// Zero-bubble pipelines drop the wait for the global norm before the update: a rank goes by what
// has come down the pipe, and looks back later.
#include "ashlar/base/error.h"
#include "ashlar/graph/ops/optimizer.h"
#include "ashlar/runtime/pipeline.h"
#include "ashlar/runtime/stored_variables.h"

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

namespace ashlar::runtime {
namespace {

constexpr int kSquaresTag = comm::Communicator::kTags - 1;
constexpr const char* kLabel = "gradient norm down the pipe";

}  // namespace

// Ranks before this one and itself, added in their order. Only they can have been waited for.
double Pipeline::squares_up_to_here() {
  double squares = 0;
  if (rank() > 0) {
    comm_.recv(pipe_, rank() - 1, kSquaresTag, comm::buffer(std::span(&squares, 1)), kLabel);
  }
  for (const Chunk& chunk : chunks_) {
    if (chunk.has_squares) squares += squares_of(chunk);
  }
  passed_on_ = squares;
  if (rank() + 1 < pipe_.size()) {
    passing_ = comm_.start_send(pipe_, rank() + 1, kSquaresTag,
                                comm::buffer(std::span<const double>(&passed_on_, 1)), kLabel);
  }
  return squares;
}

// Gradients of a scaled loss are clipped by their true norm.
double Pipeline::scale(double squares) const {
  const auto bound = shared_inputs_.find("gradient_scale");
  const double loss_scale = bound == shared_inputs_.end()
                                ? 1
                                : static_cast<double>(*static_cast<const float*>(bound->second));
  return graph::clip_scale(std::sqrt(squares) / loss_scale, chunks_[0].parts.stage->max_norm);
}

void Pipeline::step_optimistically(std::span<const PipelineMicrobatch> microbatches,
                                   const graph::RunState& state) {
  if (kept_.bytes() == 0) prepare_to_roll_back();
  run_list(microbatches, state);
  find_squares();
  const double squares = squares_up_to_here();
  start_totals();
  unsettled_ = true;
  // What is wrong here is wrong for all: then there is nothing to take back.
  assumed_.reset();
  if (!std::isfinite(squares)) return;
  kept_.keep();
  assumed_ = squares;
  update_by(squares);
}

PipelineTotals Pipeline::settle() {
  ASHLAR_CHECK(unsettled_, "pipeline: there is no optimistic step to settle");
  const PipelineTotals totals = finish_totals();
  passing_.wait();
  unsettled_ = false;
  const bool finite = std::isfinite(totals.squares);
  const bool stands = assumed_ && finite && scale(*assumed_) == scale(totals.squares);
  if (!stands && assumed_) {
    kept_.bring_back();
    ++rollbacks_;
  }
  if (!stands && finite) update_by(totals.squares);
  if (!begun_) return totals;
  // Some rank has taken its update back, unless there was nothing to clip, for whom knew less as
  // well (1e-9: it adds in another order). All ranks know which of the two it is.
  if (!finite || scale(totals.squares * (1 + 1e-9)) != scale(0)) drop_warm_up();
  if (finite && !begun_) run_warm_up();
  return totals;
}

// How many instructions of each rank the next step may run before the last one is settled: forwards
// and their messages, up to the loss, whose gradients are made with it and would be lost to an
// update that is made again. What a rank waits for, another must have sent by then.
std::vector<size_t> Pipeline::warm_up_lengths() const {
  const schedule::StageMap& map = schedule_.stages;
  std::vector<size_t> lengths;
  for (const schedule::InstructionList& list : schedule_.ranks) lengths.push_back(list.size());
  const auto sends = [&](int from, size_t value) {
    const schedule::InstructionList& list = schedule_.ranks[static_cast<size_t>(from)];
    const auto end = list.begin() + static_cast<std::ptrdiff_t>(lengths[static_cast<size_t>(from)]);
    return std::find(list.begin(), end, values_.send(value)) != end;
  };
  for (bool changed = true; changed;) {
    changed = false;
    for (int rank = 0; rank < map.ranks(); ++rank) {
      const schedule::InstructionList& list = schedule_.ranks[static_cast<size_t>(rank)];
      size_t& length = lengths[static_cast<size_t>(rank)];
      size_t i = 0;
      for (; i < length; ++i) {
        const schedule::Instruction& each = list[i];
        const bool forward = each.kind == schedule::Kind::kForward &&
                             map.at(rank, each.chunk).stage + 1 < map.stages();
        if (forward || each.kind == schedule::Kind::kSendActivation) continue;
        if (each.kind != schedule::Kind::kRecvActivation) break;
        const size_t value = *values_.input(rank, each);
        if (!sends(values_.maker(value), value)) break;
      }
      changed = changed || i < length;
      length = i;
    }
  }
  return lengths;
}

void Pipeline::begin_next(std::span<const PipelineMicrobatch> microbatches,
                          const graph::RunState& state) {
  ASHLAR_CHECK(unsettled_ && !begun_, "pipeline: there is no optimistic step to go on from");
  check_inputs(microbatches);
  next_ = {microbatches, state};
  run_warm_up();
}

// The step that is not settled keeps its own state: an update may still follow.
void Pipeline::run_warm_up() {
  const auto [microbatches, state] = next_;
  const auto before = std::exchange(microbatches_, microbatches);
  const graph::RunState state_before = std::exchange(state_, state);
  run_steps(0, warm_up_);
  microbatches_ = before;
  state_ = state_before;
  begun_ = true;
}

// What was sent is received by those who would have read it later, and forgotten.
void Pipeline::drop_warm_up() {
  const auto before = std::exchange(microbatches_, next_.microbatches);
  for (const schedule::Instruction& each : unread_) receive(each);
  for (ReceivedMessage& message : received_) {
    for (comm::Pending& pending : message.under_way) pending.wait();
    message.under_way.clear();
  }
  microbatches_ = before;
  outbox_.wait_for_all();
  begun_ = false;
}

void Pipeline::forget_next() {
  if (begun_) drop_warm_up();
}

int Pipeline::forwards_ahead() const {
  const auto first = std::span(steps_).first(warm_up_);
  return static_cast<int>(std::ranges::count_if(
      first, [](const Step& step) { return step.instruction.kind == schedule::Kind::kForward; }));
}

void Pipeline::prepare_to_roll_back() {
  const std::vector<size_t> lengths = warm_up_lengths();
  warm_up_ = lengths[static_cast<size_t>(rank())];
  for (size_t i = warm_up_; i < steps_.size(); ++i) {
    const schedule::Instruction& each = steps_[i].instruction;
    if (each.kind != schedule::Kind::kRecvActivation) continue;
    const size_t value = *values_.input(rank(), each);
    const auto from = static_cast<size_t>(values_.maker(value));
    const schedule::InstructionList& list = schedule_.ranks[from];
    const auto end = list.begin() + static_cast<std::ptrdiff_t>(lengths[from]);
    if (std::find(list.begin(), end, values_.send(value)) != end) unread_.push_back(each);
  }
  for (const Chunk& chunk : chunks_) {
    const graph::Graph& graph = chunk.parts.stage->graph;
    for (const graph::VariableId id : updated_variables(graph)) {
      kept_.add(chunk.parts.runner->variable(graph.variable(id).name));
    }
  }
}

}  // namespace ashlar::runtime
