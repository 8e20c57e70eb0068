#include "ashlar/runtime/pipeline.h"

#include "ashlar/base/error.h"
#include "ashlar/comm/reduction.h"
#include "ashlar/schedule/text.h"

#include <array>
#include <cmath>
#include <cstring>
#include <utility>

namespace ashlar::runtime {

using graph::Operand;
using schedule::Instruction;
using schedule::Kind;

namespace {

// Values of one message have tags of their own, the same on both sides.
constexpr int kMostValues = 16;

int tag_of(size_t value, size_t item) {
  const size_t tag = value * kMostValues + item;
  ASHLAR_CHECK(item < kMostValues && tag < comm::Communicator::kTags,
               "pipeline: {} values in one message, or too many microbatches and stages", item + 1);
  return static_cast<int>(tag);
}

void add(const comm::Buffer& sum, const comm::Buffer& term) {
  auto* to = static_cast<std::byte*>(sum.data);
  const std::array<const std::byte*, 2> terms = {to, static_cast<const std::byte*>(term.data)};
  comm::reduce_in_order(sum.dtype, comm::Reduce::kSum, terms, to, sum.elements);
}

}  // namespace

double PipelineTotals::grad_norm() const { return std::sqrt(squares); }

void Pipeline::bind_input(const std::string& name, const void* data) {
  shared_inputs_[name] = data;
}

PipelineTotals Pipeline::run(std::span<const PipelineMicrobatch> microbatches,
                             const graph::RunState& state) {
  run_list(microbatches, state);
  find_squares();
  start_totals();
  return finish_totals();
}

double Pipeline::forward(std::span<const PipelineMicrobatch> microbatches,
                         const graph::RunState& state) {
  outbox_.wait_for_all();  // so that no rank runs far ahead
  run_list(microbatches, state);
  double loss = 0;
  for (int k = 0; k < schedule_.microbatches; ++k) loss += totals_[static_cast<size_t>(k)];
  return loss;
}

void Pipeline::run_list(std::span<const PipelineMicrobatch> microbatches,
                        const graph::RunState& state) {
  ASHLAR_CHECK(!unsettled_, "pipeline: step {} was optimistic and is not settled", state_.step);
  check_inputs(microbatches);
  microbatches_ = microbatches;
  update_bindings_ = microbatches[0].bindings;
  state_ = state;
  std::ranges::fill(totals_, 0.0);
  for (Chunk& chunk : chunks_) chunk.reduced = false;
  run_steps(std::exchange(begun_, false) ? warm_up_ : 0, steps_.size());
}

void Pipeline::run_steps(size_t begin, size_t end) {
  for (const Step& step : std::span(steps_).subspan(begin, end - begin)) {
    const Instruction& each = step.instruction;
    if (is_compute(each.kind)) {
      compute(step);
    } else if (is_send(each.kind)) {
      send(each);
    } else if (is_recv(each.kind)) {
      receive(each);
    } else if (each.kind == Kind::kReduce && !chunk(each.chunk).early_sums.empty()) {
      reduce(chunk(each.chunk));  // other sums go on until the norm
    }
    comm_.poll();
  }
}

void Pipeline::check_inputs(std::span<const PipelineMicrobatch> microbatches) const {
  ASHLAR_CHECK(static_cast<int>(microbatches.size()) == schedule_.microbatches,
               "pipeline: {} microbatches, schedule {} is for {}", microbatches.size(),
               schedule_.name, schedule_.microbatches);
  for (const Chunk& chunk : chunks_) {
    for (const auto& [name, index] : chunk.inputs) {
      if (name == graph::kSquaresWhole || shared_inputs_.contains(name)) continue;
      for (const PipelineMicrobatch& microbatch : microbatches) {
        const bool bound = std::ranges::any_of(
            microbatch.inputs, [&](const auto& input) { return input.first == name; });
        ASHLAR_CHECK(bound, "pipeline: stage {} reads the input {}, which is not bound",
                     chunk.at.stage, name);
      }
    }
  }
}

void Pipeline::compute(const Step& step) {
  const Instruction& each = step.instruction;
  Chunk& chunk = this->chunk(each.chunk);
  const PipelineMicrobatch& microbatch = microbatches_[static_cast<size_t>(each.microbatch)];
  StageRunner& runner = *chunk.parts.runner;
  runner.select(each.microbatch, microbatch.bindings, step.slots);
  for (const auto& [name, data] : microbatch.inputs) {
    const auto found = chunk.inputs.find(name);
    if (found == chunk.inputs.end()) continue;
    const auto& inputs = chunk.parts.stage->graph.inputs();
    runner.bind_input(found->second, data, chunk.parts.stage->graph.type(inputs.at(name)).dtype);
  }
  bind_shared_inputs(chunk);
  for (const bool gradient : {false, true}) bind_received(chunk, each, gradient);

  graph::RunState state = state_;
  state.first_microbatch = step.first;
  state.first_token = microbatch.first_token;
  state.tokens = microbatch.tokens;
  if (each.kind == Kind::kForward) {
    runner.run(StageProgram::kForward, state);
    find_losses(chunk, each.microbatch);
  } else if (each.kind == Kind::kInputGrad) {
    runner.run(StageProgram::kInputGrad, state);
  } else if (each.kind == Kind::kWeightGrad) {
    add_gradients(step, StageProgram::kWeightGrad, state);
  } else if (chunk.splits_backward) {
    runner.run(StageProgram::kInputGrad, state);
    hand_over(chunk, each);
    add_gradients(step, StageProgram::kWeightGrad, state);
    return;
  } else {
    add_gradients(step, StageProgram::kBackward, state);
  }
  hand_over(chunk, each);
}

// Behind the last microbatch's gradients there are only their sums over ranks, which begin at once.
void Pipeline::add_gradients(const Step& step, StageProgram program, const graph::RunState& state) {
  StageRunner& runner = *chunk(step.instruction.chunk).parts.runner;
  step.last ? runner.run_leaving_sums(program, state) : runner.run(program, state);
}

void Pipeline::bind_shared_inputs(Chunk& chunk) {
  const graph::Graph& graph = chunk.parts.stage->graph;
  for (const auto& [name, data] : shared_inputs_) {
    const auto found = chunk.inputs.find(name);
    if (found == chunk.inputs.end()) continue;
    chunk.parts.runner->bind_input(found->second, data, graph.type(graph.inputs().at(name)).dtype);
  }
}

void Pipeline::bind_received(Chunk& chunk, const Instruction& instruction, bool gradient) {
  const Inbox& inbox = chunk.inbox[gradient];
  const Kind kind = instruction.kind;
  const bool reads = kind == Kind::kForward      ? !gradient
                     : kind == Kind::kWeightGrad ? inbox.last == kAfterWeight
                                                 : inbox.last >= kAfterBackward;
  if (!reads || inbox.layout.empty()) return;
  const int k = instruction.microbatch, c = instruction.chunk;
  const auto value =
      values_.input(rank(), gradient ? schedule::backward(k, c) : schedule::forward(k, c));
  ReceivedMessage& message = received_[*value];
  if (!message.under_way.empty()) {
    for (comm::Pending& pending : message.under_way) pending.wait();
    message.under_way.clear();
    const graph::Bindings& bindings = microbatches_[static_cast<size_t>(k)].bindings;
    for (const MessageLayout::Item& item : inbox.layout.items()) {
      put_shares_together(item, message.data + item.offset, item.shape.bind(bindings).elements());
    }
  }
  for (const MessageLayout::Item& item : inbox.layout.items()) {
    chunk.parts.runner->bind_input(item.input, message.data + item.offset, item.dtype);
  }
}

Slice Pipeline::share(const MessageLayout::Item& item, int64_t elements) const {
  if (!item.alike || tensor_.size() < 2) return {0, elements};
  return slice_of(elements, tensor_.size(), tensor_.index);
}

void Pipeline::put_shares_together(const MessageLayout::Item& item, std::byte* data,
                                   int64_t elements) {
  if (!item.alike || tensor_.size() < 2) return;
  const Slice mine = share(item, elements);
  const std::byte* here = data + mine.offset * static_cast<int64_t>(size_of(item.dtype));
  comm_.all_gather(tensor_, {item.dtype, here, mine.length}, comm::even_counts(tensor_, elements),
                   {item.dtype, data, elements}, "shares of a message between stages");
}

// What a Program made for the next stage is copied out of the arena, which the next Program needs:
// to the chunk of this rank that reads it, or to where it waits to be sent.
void Pipeline::hand_over(Chunk& chunk, const Instruction& instruction) {
  const auto value = values_.output(rank(), instruction);
  if (!value) return;
  const MessageLayout& layout = chunk.out[values_.is_gradient(*value)];
  if (layout.empty()) return;
  std::byte* target = received_[*value].data;
  if (values_.travels(*value)) {
    letters_[*value] = &outbox_.take(layout.bytes());
    target = letters_[*value]->data;
  }
  for (const MessageLayout::Item& item : layout.items()) {
    const Operand output = chunk.parts.runner->output(item.output);
    std::memcpy(target + item.offset, output.data,
                static_cast<size_t>(output.shape.elements() * size_of(output.dtype)));
  }
}

void Pipeline::send(const Instruction& instruction) {
  const size_t value = *values_.output(rank(), instruction);
  const bool gradient = values_.is_gradient(value);
  const MessageLayout& layout = chunk(instruction.chunk).out[gradient];
  if (layout.empty()) return;
  Outbox::Letter& letter = *letters_[value];
  const graph::Bindings& bindings =
      microbatches_[static_cast<size_t>(instruction.microbatch)].bindings;
  for (size_t i = 0; i < layout.items().size(); ++i) {
    const MessageLayout::Item& item = layout.items()[i];
    const Slice mine = share(item, item.shape.bind(bindings).elements());
    const int64_t offset = item.offset + mine.offset * static_cast<int64_t>(size_of(item.dtype));
    letter.under_way.push_back(comm_.start_send(
        pipe_, values_.user(value), tag_of(value, i),
        {item.dtype, letter.data + offset, mine.length},
        gradient ? "gradient for the stage before" : "activation for the next stage"));
  }
  letter.held = false;
}

void Pipeline::receive(const Instruction& instruction) {
  const size_t value = *values_.input(rank(), instruction);
  const bool gradient = values_.is_gradient(value);
  const MessageLayout& layout = chunk(instruction.chunk).inbox[gradient].layout;
  const graph::Bindings& bindings =
      microbatches_[static_cast<size_t>(instruction.microbatch)].bindings;
  ReceivedMessage& message = received_[value];
  for (size_t i = 0; i < layout.items().size(); ++i) {
    const MessageLayout::Item& item = layout.items()[i];
    const Slice mine = share(item, item.shape.bind(bindings).elements());
    const int64_t offset = item.offset + mine.offset * static_cast<int64_t>(size_of(item.dtype));
    message.under_way.push_back(comm_.start_recv(
        pipe_, values_.maker(value), tag_of(value, i),
        {item.dtype, message.data + offset, mine.length},
        gradient ? "gradient from the next stage" : "activation from the stage before"));
  }
}

void Pipeline::select_for_update(Chunk& chunk) {
  chunk.parts.runner->select(0, update_bindings_, {});
  bind_shared_inputs(chunk);
}

void Pipeline::reduce(Chunk& chunk) {
  select_for_update(chunk);
  chunk.parts.runner->finish_sums(state_);
  chunk.reduced = true;
  for (const int copied : chunk.early_sums) start_sum(copies_[static_cast<size_t>(copied)]);
}

// The rows of a copy that the update reads.
comm::Buffer Pipeline::copy_of(const CopiedGradient& copied, int chunk) {
  const Chunk& holder = this->chunk(chunk);
  const graph::Graph& graph = holder.parts.stage->graph;
  const int64_t all_rows = graph.variable(*graph.find_variable(copied.name)).shape[0];
  comm::Buffer buffer = holder.parts.runner->variable(copied.name);
  const int64_t row = buffer.elements / all_rows;
  return {buffer.dtype,
          static_cast<std::byte*>(buffer.data) +
              copied.gradient.first_row * row * size_of(buffer.dtype),
          copied.gradient.rows * row};
}

// Copies on this rank are added into the first of them, which then meets those of other ranks.
void Pipeline::start_sum(const CopiedGradient& copied) {
  const comm::Buffer sum = copy_of(copied, copied.chunks[0]);
  for (size_t i = 1; i < copied.chunks.size(); ++i) add(sum, copy_of(copied, copied.chunks[i]));
  if (copied.group.size() == 1) return;
  sums_.push_back(comm_.start_all_reduce(copied.group, comm::Reduce::kSum, sum, copied.name));
}

void Pipeline::finish_sums() {
  for (const CopiedGradient& copied : copies_) {
    if (!copied.early) start_sum(copied);
  }
  for (comm::Pending& sum : sums_) sum.wait();
  sums_.clear();
  for (const CopiedGradient& copied : copies_) {
    const comm::Buffer sum = copy_of(copied, copied.chunks[0]);
    for (size_t i = 1; i < copied.chunks.size(); ++i) {
      std::memcpy(copy_of(copied, copied.chunks[i]).data, sum.data, sum.bytes());
    }
  }
}

void Pipeline::find_losses(const Chunk& chunk, int microbatch) {
  const auto& outputs = chunk.parts.stage->graph.outputs();
  const auto read = [&](const std::string& name, int place) {
    if (!outputs.contains(name)) return;
    totals_[static_cast<size_t>(place)] = *chunk.parts.runner->output(name).as<double>();
  };
  read("loss", microbatch);
  read("aux_loss", schedule_.microbatches + microbatch);
}

double& Pipeline::squares_of(const Chunk& chunk) {
  return totals_[static_cast<size_t>(2 * schedule_.microbatches + chunk.at.stage)];
}

// This rank's share of the norm, when all its gradients are sums.
void Pipeline::find_squares() {
  for (Chunk& chunk : chunks_) {
    if (!chunk.reduced) reduce(chunk);
  }
  finish_sums();
  for (Chunk& chunk : chunks_) {
    select_for_update(chunk);
    chunk.parts.runner->run(StageProgram::kNorm, state_);
    if (!chunk.has_squares) continue;
    squares_of(chunk) = *chunk.parts.runner->output(graph::kSquaresPart).as<double>();
  }
}

// Losses and squares are exchanged by microbatch and stage and then added in that order, so that
// the totals depend neither on the schedule nor on where the stages are.
void Pipeline::start_totals() {
  std::swap(totals_, exchanged_);
  if (pipe_.size() == 1) return;
  adding_ = comm_.start_all_reduce(pipe_, comm::Reduce::kSum, comm::buffer(std::span(exchanged_)),
                                   "loss and gradient norm of the pipeline");
}

PipelineTotals Pipeline::finish_totals() {
  adding_.wait();
  if (!begun_) outbox_.wait_for_all();
  const auto m = static_cast<size_t>(schedule_.microbatches);
  PipelineTotals totals;
  for (size_t i = 0; i < exchanged_.size(); ++i) {
    (i < m ? totals.loss : i < 2 * m ? totals.aux_loss : totals.squares) += exchanged_[i];
  }
  squares_ = totals.squares;
  return totals;
}

void Pipeline::update(const graph::RunState& state) {
  state_ = state;
  update_by(squares_);
}

void Pipeline::update_by(double squares) {
  squares_ = squares;
  for (Chunk& chunk : chunks_) {
    select_for_update(chunk);
    const auto whole = chunk.inputs.find(graph::kSquaresWhole);
    if (whole != chunk.inputs.end()) {
      chunk.parts.runner->bind_input(whole->second, &squares_, DType::kF64);
    }
    chunk.parts.runner->run(StageProgram::kUpdate, state_);
  }
}

}  // namespace ashlar::runtime
