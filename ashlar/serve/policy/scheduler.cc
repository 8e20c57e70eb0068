#include "ashlar/serve/policy/scheduler.h"

#include "ashlar/base/error.h"

#include <algorithm>

namespace ashlar::serve {

void SchedulerLimits::validate() const {
  ASHLAR_CHECK(max_seqs >= 1, "max_num_seqs: {} is not positive", max_seqs);
  ASHLAR_CHECK(
      max_batched_tokens >= max_seqs,
      "max_num_batched_tokens: {} is less than max_num_seqs = {}; a step decodes one token "
      "of each sequence",
      max_batched_tokens, max_seqs);
  ASHLAR_CHECK(max_outputs >= max_seqs, "rows of logits: {} is less than max_num_seqs = {}",
               max_outputs, max_seqs);
  ASHLAR_CHECK(max_waiting >= 0, "queue length: {} is negative", max_waiting);
}

int64_t StepPlan::tokens() const {
  int64_t total = 0;
  for (const ScheduledChunk& chunk : chunks) total += chunk.tokens;
  return total;
}

void StepPlan::clear() {
  chunks.clear();
  started.clear();
  preempted.clear();
}

Scheduler::Scheduler(const SchedulerLimits& limits, CacheSpace& cache,
                     std::unique_ptr<const SchedulingOrder> order)
    : limits_(limits),
      cache_(cache),
      order_(order ? std::move(order) : std::make_unique<FirstComeFirstServed>()) {
  limits_.validate();
}

Scheduler::Admission Scheduler::add(const NewSequence& sequence) {
  ASHLAR_DCHECK(sequence.tokens > 0 && sequence.scored < sequence.tokens);
  if (std::max(sequence.tokens, sequence.most_tokens) > cache_.capacity()) {
    return Admission::kNeverFits;
  }
  if (!queue_takes(1)) return Admission::kQueueFull;
  waiting_.push_back({.id = sequence.id,
                      .arrived = sequence.arrived,
                      .target = sequence.tokens,
                      .scored = sequence.scored,
                      .most_tokens = sequence.most_tokens,
                      .after = find(sequence.after) != nullptr ? sequence.after : 0});
  ++never_started_;
  return Admission::kQueued;
}

const StepPlan& Scheduler::schedule(double now) {
  plan_.clear();
  spare_outputs_ = limits_.max_outputs - limits_.max_seqs;
  std::ranges::sort(running_,
                    [&](const auto& a, const auto& b) { return order_->before(a, b, now); });
  const auto decoding = std::ranges::count_if(
      running_, [](const ScheduledSequence& sequence) { return sequence.remaining() == 1; });
  int64_t budget = limits_.max_batched_tokens - decoding;  // for prefill
  for (size_t i = 0; i < running_.size(); ++i) {
    const bool decode = running_[i].remaining() == 1;
    const int64_t tokens = decode ? 1 : chunk_size(running_[i], budget);
    if (tokens == 0) continue;
    if (!make_room(i, running_[i].computed + tokens)) break;  // it was itself the last in order
    plan_chunk(running_[i], tokens);
    if (!decode) budget -= tokens;
  }
  // Who was just preempted would be the first to come back: into the same shortage.
  if (plan_.preempted.empty()) admit_waiting(budget, now);
  return plan_;
}

int64_t Scheduler::chunk_size(const ScheduledSequence& sequence, int64_t budget) const {
  const int64_t tokens = std::min(sequence.remaining(), budget);
  // Rows before `scored` want no logits; each sequence has one row of logits for certain.
  const int64_t silent = std::max<int64_t>(0, sequence.scored - sequence.computed);
  return std::min(tokens, silent + 1 + spare_outputs_);
}

void Scheduler::plan_chunk(const ScheduledSequence& sequence, int64_t tokens) {
  const int64_t end = sequence.computed + tokens;
  const int64_t outputs =
      std::clamp<int64_t>(end - std::max(sequence.computed, sequence.scored), 0, tokens);
  spare_outputs_ -= std::max<int64_t>(0, outputs - 1);
  plan_.chunks.push_back({sequence.id, sequence.computed, tokens, outputs});
}

// Preempts from the back of the order until the sequence at `index` can grow; false when that was
// the last one itself. What is planned already stands before `index` and is never touched.
bool Scheduler::make_room(size_t index, int64_t tokens) {
  while (!cache_.grow(running_[index].id, tokens)) {
    ScheduledSequence victim = running_.back();
    running_.pop_back();
    cache_.release(victim.id);
    victim.computed = 0;
    waiting_.push_back(victim);
    plan_.preempted.push_back(victim.id);
    ++preemptions_;
    if (running_.size() == index) return false;
  }
  return true;
}

ScheduledSequence* Scheduler::next_waiting(double now) {
  ScheduledSequence* next = nullptr;
  for (ScheduledSequence& sequence : waiting_) {
    if (sequence.after != 0) continue;
    if (next == nullptr || order_->before(sequence, *next, now)) next = &sequence;
  }
  return next;
}

void Scheduler::admit_waiting(int64_t budget, double now) {
  while (budget > 0 && running() < limits_.max_seqs) {
    ScheduledSequence* next = next_waiting(now);
    if (next == nullptr || !admit(*next)) return;  // nobody overtakes the first
    ScheduledSequence sequence = *next;
    *next = waiting_.back();
    waiting_.pop_back();
    if (!sequence.started) {
      sequence.started = true;
      --never_started_;
      plan_.started.push_back(sequence.id);
    }
    const int64_t tokens = chunk_size(sequence, budget);
    plan_chunk(sequence, tokens);
    budget -= tokens;
    running_.push_back(sequence);
  }
}

// All of the sequence's tokens get their room at once, so that prefill never runs out of blocks;
// and next to others, a block for each of them is left, or the next step might preempt it again.
bool Scheduler::admit(ScheduledSequence& sequence) {
  sequence.computed = cache_.reuse(sequence.id, sequence.scored);
  if (cache_.grow(sequence.id, sequence.target) && cache_.free_blocks() >= running()) return true;
  cache_.release(sequence.id);
  sequence.computed = 0;
  return false;
}

void Scheduler::completed(const StepPlan& plan) {
  for (const ScheduledChunk& chunk : plan.chunks) {
    const auto sequence = std::ranges::find(running_, chunk.id, &ScheduledSequence::id);
    if (sequence == running_.end()) continue;
    sequence->computed = chunk.position + chunk.tokens;
    sequence->scored = std::max(sequence->scored, sequence->computed);
  }
}

void Scheduler::append(SequenceId id) {
  const auto sequence = std::ranges::find(running_, id, &ScheduledSequence::id);
  ASHLAR_DCHECK(sequence != running_.end() && sequence->remaining() == 0);
  ++sequence->target;
  let_followers_go(id);
}

void Scheduler::append_anew(SequenceId id) {
  append(id);
  const auto sequence = std::ranges::find(running_, id, &ScheduledSequence::id);
  cache_.release(id);
  sequence->computed = 0;
  waiting_.push_back(*sequence);
  running_.erase(sequence);
}

void Scheduler::remove(SequenceId id) {
  for (std::vector<ScheduledSequence>* list : {&running_, &waiting_}) {
    const auto sequence = std::ranges::find(*list, id, &ScheduledSequence::id);
    if (sequence == list->end()) continue;
    if (!sequence->started) --never_started_;
    list->erase(sequence);
    cache_.release(id);
    let_followers_go(id);
    return;
  }
}

void Scheduler::let_followers_go(SequenceId id) {
  for (ScheduledSequence& sequence : waiting_) {
    if (sequence.after == id) sequence.after = 0;
  }
}

const ScheduledSequence* Scheduler::find(SequenceId id) const {
  for (const std::vector<ScheduledSequence>* list : {&running_, &waiting_}) {
    const auto sequence = std::ranges::find(*list, id, &ScheduledSequence::id);
    if (sequence != list->end()) return &*sequence;
  }
  return nullptr;
}

}  // namespace ashlar::serve
