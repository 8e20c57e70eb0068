// What a pipeline knows before its first step: where each message lies, in which slots each
// instruction works, which gradients have copies.
#include "ashlar/base/error.h"
#include "ashlar/runtime/pipeline.h"
#include "ashlar/schedule/text.h"

#include <algorithm>
#include <iterator>
#include <set>

namespace ashlar::runtime {

using graph::Phase;
using schedule::Instruction;
using schedule::Kind;

namespace {

constexpr int kBeforeUse = -1;  // no buffer yet

// Numbered buffers, the lowest free one first.
class Buffers {
 public:
  int take() {
    const auto free = std::ranges::find(taken_, false);
    const auto index = static_cast<int>(free - taken_.begin());
    if (free == taken_.end()) taken_.push_back(true);
    taken_[static_cast<size_t>(index)] = true;
    return index;
  }
  void give_back(int index) { taken_[static_cast<size_t>(index)] = false; }
  int size() const { return static_cast<int>(taken_.size()); }

 private:
  std::vector<bool> taken_;
};

bool is_received(const std::string& input) { return input.starts_with(graph::kRecv); }

}  // namespace

Pipeline::Pipeline(schedule::Schedule schedule, comm::Group pipe, std::vector<PipelineChunk> chunks,
                   std::vector<schedule::InstructionSlots> slots, const graph::Bindings& max,
                   comm::Communicator& comm, comm::Group tensor)
    : schedule_(std::move(schedule)),
      values_(schedule_),
      pipe_(std::move(pipe)),
      tensor_(std::move(tensor)),
      comm_(comm),
      buffer_of_(values_.count(), kBeforeUse),
      received_(values_.count()),
      letters_(values_.count()) {
  const schedule::StageMap& map = schedule_.stages;
  ASHLAR_CHECK(pipe_.size() == map.ranks(), "pipeline: schedule {} is for {} ranks, axis {} has {}",
               schedule_.name, map.ranks(), pipe_.name, pipe_.size());
  const auto here = map.chunks(rank());
  ASHLAR_CHECK(chunks.size() == here.size(), "pipeline: {} chunks, schedule {} has {} on rank {}",
               chunks.size(), schedule_.name, here.size(), rank());
  for (size_t c = 0; c < chunks.size(); ++c) {
    ASHLAR_CHECK(chunks[c].stage->index == here[c].stage && chunks[c].stage->count == map.stages(),
                 "pipeline: chunk {} of rank {} is stage {} of {}, wanted {} of {}", c, rank(),
                 chunks[c].stage->index, chunks[c].stage->count, here[c].stage, map.stages());
    Chunk& chunk = chunks_.emplace_back();
    chunk.parts = chunks[c];
    chunk.at = here[c];
  }
  totals_.resize(static_cast<size_t>(2 * schedule_.microbatches + map.stages()));
  exchanged_.resize(totals_.size());
  set_up_chunks(max);
  set_up_steps(slots);
  set_up_inbox();
  set_up_copies();
}

void Pipeline::set_up_chunks(const graph::Bindings& max) {
  for (size_t c = 0; c < chunks_.size(); ++c) {
    Chunk& chunk = chunks_[c];
    const graph::Stage& stage = *chunk.parts.stage;
    const StageRunner& runner = *chunk.parts.runner;
    chunk.splits_backward = splits_backward(schedule_, rank(), static_cast<int>(c));
    ASHLAR_CHECK(
        !chunk.splits_backward || runner.splits_backward(),
        "pipeline: schedule {} runs B and W apart on chunk {} of rank {}, which is planned "
        "with both in one Program",
        schedule_.name, c, rank());
    // Of copies one counts.
    chunk.has_squares =
        chunk.at.replica == 0 && stage.graph.outputs().contains(graph::kSquaresPart);
    chunk.inbox[0].layout = MessageLayout::received(stage, stage.activation_in, runner, max);
    chunk.inbox[1].layout = MessageLayout::received(stage, stage.gradient_in, runner, max);
    chunk.out[0] = MessageLayout::sent(stage, stage.activation_out, runner, max);
    chunk.out[1] = MessageLayout::sent(stage, stage.gradient_out, runner, max);
    chunk.inbox[1].last = kAfterBackward;

    std::map<graph::ValueId, Inbox*> inbox_of;
    int index = 0;
    for (const auto& [name, id] : stage.graph.inputs()) {
      for (Inbox& inbox : chunk.inbox) {
        for (const MessageLayout::Item& item : inbox.layout.items()) {
          if (item.input == index) inbox_of[id] = &inbox;
        }
      }
      if (!is_received(name)) chunk.inputs[name] = index;
      ++index;
    }
    for (const graph::Node& node : stage.graph.nodes()) {
      const Last last = node.phase == Phase::kForward     ? kAfterForward
                        : node.phase == Phase::kInputGrad ? kAfterBackward
                                                          : kAfterWeight;
      for (const graph::ValueId input : node.inputs) {
        const auto found = inbox_of.find(input);
        if (found != inbox_of.end()) found->second->last = std::max(found->second->last, last);
      }
    }
  }
}

void Pipeline::set_up_steps(const std::vector<schedule::InstructionSlots>& slots) {
  const schedule::InstructionList& list = schedule_.ranks[static_cast<size_t>(rank())];
  ASHLAR_CHECK(slots.empty() || slots.size() == list.size(),
               "pipeline: slots of {} instructions, rank {} of schedule {} has {}", slots.size(),
               rank(), schedule_.name, list.size());
  std::set<std::pair<Kind, int>> seen;
  std::map<int, size_t> last;  // instruction of a chunk that adds to its gradients
  for (size_t i = 0; i < list.size(); ++i) {
    const Instruction& each = list[i];
    ASHLAR_CHECK(
        each.kind != Kind::kGather && each.kind != Kind::kEvict && each.kind != Kind::kLoad,
        "pipeline: schedule {}: rank {}, instruction {} ({}): gather, evict and load are "
        "not there yet; take them out",
        schedule_.name, rank(), i, str(schedule_, rank(), each));
    const schedule::InstructionSlots of = slots.empty() ? schedule::InstructionSlots() : slots[i];
    const bool splits = chunk(each.chunk).splits_backward;
    Step step{each, {std::max(of.until_backward, 0), splits ? std::max(of.until_weight, 0) : 0}};
    // BW is the W of a schedule that has both.
    const Kind kind = each.kind == Kind::kBackward ? Kind::kWeightGrad : each.kind;
    step.first = seen.emplace(kind, each.chunk).second;
    if (kind == Kind::kWeightGrad) last[each.chunk] = i;
    steps_.push_back(step);
  }
  for (const auto& [chunk, i] : last) steps_[i].last = true;
  const bool trains =
      std::ranges::any_of(seen, [](const auto& each) { return each.first == Kind::kWeightGrad; });
  for (size_t c = 0; trains && c < chunks_.size(); ++c) {
    ASHLAR_CHECK(seen.contains({Kind::kWeightGrad, static_cast<int>(c)}),
                 "pipeline: schedule {}: chunk {} of rank {} runs no microbatch, so it has no "
                 "gradients to add; give each copy of the model at least one",
                 schedule_.name, c, rank());
  }
}

// A buffer is taken when its message arrives, or when a neighbouring stage on this rank makes it,
// and is free after the last Program that reads it.
void Pipeline::set_up_inbox() {
  std::vector<Buffers> buffers(2 * chunks_.size());
  const auto of = [&](int chunk, bool gradient) -> Buffers& {
    return buffers[2 * static_cast<size_t>(chunk) + (gradient ? 1 : 0)];
  };
  const auto take = [&](std::optional<size_t> value) {
    if (!value || values_.user(*value) != rank()) return;
    const int chunk = schedule_.stages.chunk(values_.replica(*value), values_.to_stage(*value));
    buffer_of_[*value] = of(chunk, values_.is_gradient(*value)).take();
  };
  for (const Step& step : steps_) {
    const Instruction& each = step.instruction;
    if (is_recv(each.kind)) take(values_.input(rank(), each));
    if (!is_compute(each.kind)) continue;
    const auto output = values_.output(rank(), each);
    if (output && !values_.travels(*output)) take(output);
    const Last now = each.kind == Kind::kForward     ? kAfterForward
                     : each.kind == Kind::kInputGrad ? kAfterBackward
                                                     : kAfterWeight;
    for (const bool gradient : {false, true}) {
      const Instruction reader = gradient ? schedule::backward(each.microbatch, each.chunk)
                                          : schedule::forward(each.microbatch, each.chunk);
      const auto input = values_.input(rank(), reader);
      const Last last = chunk(each.chunk).inbox[gradient].last;
      // BW ends what B or W end.
      const bool ends = each.kind == Kind::kBackward ? last >= kAfterBackward : last == now;
      if (input && ends) of(each.chunk, gradient).give_back(buffer_of_[*input]);
    }
  }
  int64_t bytes = 0;
  for (size_t c = 0; c < chunks_.size(); ++c) {
    for (const bool gradient : {false, true}) {
      Inbox& inbox = chunks_[c].inbox[gradient];
      inbox.buffers = of(static_cast<int>(c), gradient).size();
      inbox.offset = bytes;
      bytes += inbox.buffers * inbox.layout.bytes();
    }
  }
  inbox_.emplace(bytes);
  for (size_t value = 0; value < buffer_of_.size(); ++value) {
    if (buffer_of_[value] == kBeforeUse) continue;
    const int chunk = schedule_.stages.chunk(values_.replica(value), values_.to_stage(value));
    const Inbox& inbox = chunks_[static_cast<size_t>(chunk)].inbox[values_.is_gradient(value)];
    received_[value].data =
        inbox_->data() + inbox.offset + buffer_of_[value] * inbox.layout.bytes();
  }
}

// Copies of a gradient: on the stages that share its parameter, in each replica.
void Pipeline::set_up_copies() {
  const schedule::StageMap& map = schedule_.stages;
  std::map<std::string, CopiedGradient> copies;
  std::map<std::string, int> early;  // the chunk whose reduce may start the sum
  for (size_t c = 0; c < chunks_.size(); ++c) {
    for (const graph::StageGradient& gradient : chunks_[c].parts.stage->gradients) {
      const auto holders = gradient.stages.size() * static_cast<size_t>(map.replicas());
      if (holders == 1) continue;
      CopiedGradient& copied = copies[gradient.name];
      copied.name = gradient.name;
      copied.gradient = gradient;
      copied.chunks.push_back(static_cast<int>(c));
      std::set<int> ranks;
      for (const int stage : gradient.stages) {
        for (int replica = 0; replica < map.replicas(); ++replica) {
          ranks.insert(map.rank(replica, stage));
        }
      }
      copied.group = comm::Group();
      copied.group.name = pipe_.name;
      for (const int each : ranks) {
        if (each == rank()) copied.group.index = copied.group.size();
        copied.group.ranks.push_back(pipe_.ranks[static_cast<size_t>(each)]);
      }
      // Stages reduce in one order on the ranks that share them; what joins several waits for all.
      if (gradient.stages.size() == 1 && ranks.size() == holders) {
        early[gradient.name] = static_cast<int>(c);
      }
    }
  }
  for (auto& [name, copied] : copies) {
    const auto found = early.find(name);
    if (found != early.end()) {
      chunk(found->second).early_sums.push_back(static_cast<int>(copies_.size()));
    }
    copied.early = found != early.end();
    copies_.push_back(std::move(copied));
  }
}

}  // namespace ashlar::runtime
