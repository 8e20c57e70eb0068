// Decides, step by step, which sequence gets how many tokens: continuous batching with chunked
// prefill (Orca, Yu et al. 2022; Sarathi, Agrawal et al. 2024). Running sequences decode first,
// what is left of the token budget goes to prefill in order. A sequence is admitted when all its
// tokens fit in the cache; when blocks run out, the last in order is preempted and computed again
// later. The first in order always gets on, because none is let in that could not run alone.
#pragma once

#include "ashlar/serve/policy/cache_space.h"
#include "ashlar/serve/policy/scheduling_order.h"

#include <cstdint>
#include <memory>
#include <vector>

namespace ashlar::serve {

struct SchedulerLimits {
  int64_t max_batched_tokens = 512;  // rows of one step
  int64_t max_seqs = 64;             // sequences running at once
  int64_t max_outputs = 128;         // rows of one step with logits
  int64_t max_waiting = 1024;        // sequences that wait for their first step

  void validate() const;  // throws Error
};

// A sequence's part of a step: tokens [position, position + tokens), logits of the last `outputs`.
struct ScheduledChunk {
  SequenceId id = 0;
  int64_t position = 0;
  int64_t tokens = 0;
  int64_t outputs = 0;
  bool operator==(const ScheduledChunk&) const = default;
};

struct StepPlan {
  std::vector<ScheduledChunk> chunks;
  std::vector<SequenceId> started;    // admitted for the first time
  std::vector<SequenceId> preempted;  // their cache is gone

  int64_t tokens() const;
  void clear();
};

class Scheduler {
 public:
  // The cache outlives the scheduler.
  Scheduler(const SchedulerLimits& limits, CacheSpace& cache,
            std::unique_ptr<const SchedulingOrder> order = nullptr);

  enum class Admission { kQueued, kQueueFull, kNeverFits };
  // tokens: the prompt's. most_tokens: prompt and all that may follow. scored: logits are wanted
  // from this token on; below `tokens`. after: a sequence with the same prompt, which this one
  // waits for so that it finds the prompt in the cache; 0: none.
  struct NewSequence {
    SequenceId id = 0;
    double arrived = 0;
    int64_t tokens = 0;
    int64_t most_tokens = 0;
    int64_t scored = 0;
    SequenceId after = 0;
  };
  // Whether so many new sequences may queue.
  bool queue_takes(int64_t sequences) const {
    return never_started_ + sequences <= limits_.max_waiting;
  }
  Admission add(const NewSequence& sequence);

  // The next step; empty when nothing can run. Valid until the next call.
  const StepPlan& schedule(double now);
  // The plan's chunks were computed.
  void completed(const StepPlan& plan);
  // A token was drawn for the sequence.
  void append(SequenceId id);
  // The same where it changes what the tokens before have in the cache: all are computed again.
  void append_anew(SequenceId id);
  // Ended or cancelled, in whatever state.
  void remove(SequenceId id);

  int64_t running() const { return static_cast<int64_t>(running_.size()); }
  int64_t waiting() const { return static_cast<int64_t>(waiting_.size()); }
  int64_t preemptions() const { return preemptions_; }
  const ScheduledSequence* find(SequenceId id) const;  // nullptr when ended

 private:
  int64_t chunk_size(const ScheduledSequence& sequence, int64_t budget) const;
  void plan_chunk(const ScheduledSequence& sequence, int64_t tokens);
  bool make_room(size_t index, int64_t tokens);
  ScheduledSequence* next_waiting(double now);
  bool admit(ScheduledSequence& sequence);
  void let_followers_go(SequenceId id);
  void admit_waiting(int64_t budget, double now);

  SchedulerLimits limits_;
  CacheSpace& cache_;
  std::unique_ptr<const SchedulingOrder> order_;
  std::vector<ScheduledSequence> running_, waiting_;
  StepPlan plan_;
  int64_t spare_outputs_ = 0;  // of this step, beyond one a sequence
  int64_t never_started_ = 0;
  int64_t preemptions_ = 0;
};

}  // namespace ashlar::serve
