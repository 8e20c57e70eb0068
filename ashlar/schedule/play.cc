#include "ashlar/schedule/play.h"

#include "ashlar/schedule/check.h"
#include "ashlar/schedule/communication.h"
#include "ashlar/schedule/values.h"
#include "ashlar/sim/server_queue.h"
#include "ashlar/sim/simulator.h"
#include "ashlar/sim/virtual_device.h"

#include <fmt/format.h>

#include <algorithm>
#include <map>
#include <memory>
#include <optional>
#include <utility>

namespace ashlar::schedule {
namespace {

class Rank;

// What the ranks share: time, links and the values that have arrived.
class Job {
 public:
  Job(const Schedule& schedule, const Costs& costs);
  Timeline run();

  const Schedule& schedule;
  const Costs& costs;
  Values values;
  sim::Simulator simulator;
  sim::Processor processor;
  std::vector<bool> arrived;
  Timeline timeline;

  void send(size_t value, const Instruction& instruction);

 private:
  std::map<std::pair<int, int>, std::unique_ptr<sim::Link>> links_;
  std::vector<std::unique_ptr<Rank>> ranks_;
};

// What a microbatch saved on a chunk, or (in `weight` alone) a chunk's weights: here, away, or on
// the way.
struct Held {
  sim::TaggedArena::Allocation backward, weight;
  int64_t backward_bytes = 0, weight_bytes = 0;   // what is here when nothing is evicted
  bool for_backward = false, for_weight = false;  // has readers to come
  int moving = 0;                                 // copies under way
};

// One rank: its list, its device, and what it holds.
class Rank {
 public:
  Rank(Job& job, int rank)
      : job_(job),
        rank_(rank),
        list_(job.schedule.ranks[index(rank)]),
        log_(job.timeline.ranks[index(rank)]),
        device_(job.simulator, {.name = fmt::format("rank {}", rank),
                                .memory = job.costs.memory,
                                .host = job.costs.host}),
        reduces_(job.simulator),
        chunks_(job.schedule.stages.chunks(rank).size()),
        saved_(chunks_ * index(job.schedule.microbatches)),
        weights_(chunks_) {
    for (size_t chunk = 0; chunk < chunks_; ++chunk) {
      if (!comes_later(static_cast<int>(chunk))) gather(static_cast<int>(chunk));
    }
  }

  // Runs on until it has to wait; whatever it may wait for calls this again.
  void advance() {
    while (!running_ && at_ < list_.size() && ready(list_[at_])) start(list_[at_]);
  }

  void finish() {
    log_.peak_bytes = device_.memory().total().peak;
    log_.peak_microbatches = static_cast<double>(log_.peak_until_weight) *
                             job_.schedule.stages.replicas() / static_cast<double>(chunks_);
  }

 private:
  static size_t index(int i) { return static_cast<size_t>(i); }
  double now() const { return job_.simulator.now(); }
  const StageCost& cost(int chunk) const {
    return job_.costs.stages[index(job_.schedule.stages.at(rank_, chunk).stage)];
  }
  Held& saved(const Instruction& i) {
    return saved_[index(i.microbatch) * chunks_ + index(i.chunk)];
  }
  Held& moved(const Instruction& i) {
    return i.microbatch < 0 ? weights_[index(i.chunk)] : saved(i);
  }

  bool comes_later(int chunk) const {
    const auto first = std::ranges::find_if(list_, [&](const Instruction& i) {
      return i.chunk == chunk && (is_compute(i.kind) || i.kind == Kind::kGather ||
                                  (i.microbatch < 0 && i.kind >= Kind::kEvict));
    });
    return first != list_.end() && (first->kind == Kind::kGather || first->kind == Kind::kLoad);
  }
  void gather(int chunk) {
    Held& held = weights_[index(chunk)];
    held.weight_bytes = cost(chunk).weights;
    held.weight = device_.memory().allocate("params", held.weight_bytes);
  }

  bool ready(const Instruction& i) {
    if (is_recv(i.kind)) return job_.arrived[*job_.values.input(rank_, i)];
    if (is_compute(i.kind)) return saved(i).moving == 0 && weights_[index(i.chunk)].moving == 0;
    if (i.kind == Kind::kEvict || i.kind == Kind::kLoad) return moved(i).moving == 0;
    return i.kind != Kind::kStep || now() >= reduces_.free_at();
  }

  void start(const Instruction& i) {
    if (is_send(i.kind)) {
      job_.send(*job_.values.output(rank_, i), i);
      return next();
    }
    if (is_recv(i.kind)) return record_and_next(i, waits_since_);
    if (i.kind == Kind::kReduce) {
      reduces_.submit(job_.costs.reduce, [this] { advance(); });
      return record_and_next(i, now());
    }
    if (i.kind == Kind::kEvict || i.kind == Kind::kLoad) {
      i.kind == Kind::kEvict ? evict(i) : load(i);
      return record_and_next(i, now());
    }
    if (i.kind == Kind::kForward) save(i);
    if (i.kind == Kind::kGather) gather(i.chunk);
    running_ = true;
    job_.processor.submit(duration(i), [this, i, began = now()] {
      running_ = false;
      if (is_compute(i.kind)) computed(i, began);
      record_and_next(i, began);
      advance();
    });
  }

  double duration(const Instruction& i) const {
    if (i.kind == Kind::kStep) return job_.costs.step;
    if (i.kind == Kind::kGather) return job_.costs.gather;
    const StageCost& stage = cost(i.chunk);
    if (i.kind == Kind::kForward) return stage.forward;
    if (i.kind == Kind::kInputGrad) return stage.backward;
    return i.kind == Kind::kWeightGrad ? stage.weight : stage.backward + stage.weight;
  }

  void record_and_next(const Instruction& i, double began) {
    log_.spans.push_back({i, began, now()});
    next();
  }
  void next() {
    ++at_;
    waits_since_ = now();
  }

  void computed(const Instruction& i, double began) {
    if (!computed_any_) log_.first_start = began;
    computed_any_ = true;
    log_.busy += now() - began;
    log_.last_end = now();
    Held& held = saved(i);
    if (gives_gradient(i.kind)) {
      held.backward.release();
      held.backward_bytes = 0;
      held.for_backward = false;
      --until_backward_;
    }
    if (i.kind == Kind::kWeightGrad || i.kind == Kind::kBackward) {
      held.weight.release();
      held.weight_bytes = 0;
      held.for_weight = false;
      --until_weight_;
    }
  }

  void save(const Instruction& i) {
    const StageCost& stage = cost(i.chunk);
    Held& held = saved(i);
    held.backward = device_.memory().allocate("activations", stage.saved_until_backward);
    held.weight = device_.memory().allocate("activations", stage.saved_until_weight);
    held.backward_bytes = stage.saved_until_backward;
    held.weight_bytes = stage.saved_until_weight;
    held.for_backward = held.for_weight = true;
    count(held, 1);
  }

  // (microbatch, chunk) pairs on the device: `change` is 1 for one that comes, -1 for one that
  // goes.
  void count(const Held& held, int change) {
    if (held.for_backward) until_backward_ += change;
    if (held.for_weight) until_weight_ += change;
    log_.peak_until_backward = std::max(log_.peak_until_backward, until_backward_);
    log_.peak_until_weight = std::max(log_.peak_until_weight, until_weight_);
  }

  void evict(const Instruction& i) {
    Held& held = moved(i);
    if (i.microbatch < 0) return held.weight.release();  // the host or the shards have them
    // Both parts leave as one queue's copies; the count goes down when the last one has left.
    for (sim::TaggedArena::Allocation* part : {&held.backward, &held.weight}) {
      if (part->bytes() == 0) continue;
      ++held.moving;
      device_.evict(std::move(*part), [this, &held] {
        if (--held.moving > 0) return;
        count(held, -1);
        advance();
      });
    }
    if (held.moving == 0) count(held, -1);
  }
  void load(const Instruction& i) {
    Held& held = moved(i);
    if (i.microbatch < 0) held.weight_bytes = cost(i.chunk).weights;
    count(held, 1);
    const char* tag = i.microbatch < 0 ? "params" : "activations";
    for (const auto& [part, bytes] : {std::pair(&held.backward, held.backward_bytes),
                                      std::pair(&held.weight, held.weight_bytes)}) {
      if (bytes == 0) continue;
      ++held.moving;
      device_.load(tag, bytes, [this, &held, part](sim::TaggedArena::Allocation loaded) {
        *part = std::move(loaded);
        --held.moving;
        advance();
      });
    }
  }

  Job& job_;
  int rank_;
  const InstructionList& list_;
  RankTimeline& log_;
  sim::VirtualDevice device_;
  sim::ServerQueue reduces_;
  size_t chunks_;
  std::vector<Held> saved_;    // by microbatch, chunk
  std::vector<Held> weights_;  // by chunk
  size_t at_ = 0;
  bool running_ = false, computed_any_ = false;
  double waits_since_ = 0;
  int until_backward_ = 0, until_weight_ = 0;
};

Job::Job(const Schedule& played, const Costs& with)
    : schedule(played),
      costs(with),
      values(played),
      processor(simulator, with.processors),
      arrived(values.count()) {
  timeline.ranks.resize(schedule.ranks.size());
  for (int rank = 0; rank < schedule.stages.ranks(); ++rank) {
    ranks_.push_back(std::make_unique<Rank>(*this, rank));
  }
}

void Job::send(size_t value, const Instruction& instruction) {
  const int from = values.maker(value), to = values.user(value);
  auto& link = links_[{from, to}];
  if (!link) link = std::make_unique<sim::Link>(simulator, costs.link);
  // A gradient is as large as the activation that it is the gradient of.
  const int made_by = values.is_gradient(value) ? values.to_stage(value) : values.from_stage(value);
  const double start = simulator.now();
  link->transfer(costs.stages[static_cast<size_t>(made_by)].message,
                 [this, value, from, to, instruction, start] {
                   arrived[value] = true;
                   timeline.transfers.push_back({from, to, instruction, start, simulator.now()});
                   ranks_[static_cast<size_t>(to)]->advance();
                 });
}

Timeline Job::run() {
  for (const auto& rank : ranks_) {
    simulator.at(0, [&rank] { rank->advance(); });
  }
  simulator.run();
  for (const auto& rank : ranks_) rank->finish();
  for (const RankTimeline& rank : timeline.ranks) {
    for (const Span& span : rank.spans) timeline.makespan = std::max(timeline.makespan, span.end);
  }
  return std::move(timeline);
}

}  // namespace

Timeline play(const Schedule& schedule, const Costs& costs) {
  costs.check(schedule);
  check(schedule);
  if (schedule.has_messages()) return Job(schedule, costs).run();
  const Schedule with_messages = add_messages(schedule);
  return Job(with_messages, costs).run();
}

}  // namespace ashlar::schedule
