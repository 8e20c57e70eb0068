// Random traffic through the scheduler: thousands of requests over a cache that is far too small
// for them, some cancelled on the way. Time is counted in steps.
#include "ashlar/serve/policy/scheduler.h"
#include "tests/serve/scheduler_cache.h"

#include <gtest/gtest.h>

#include <map>
#include <random>
#include <utility>

namespace ashlar::serve {
namespace {

struct Traffic {
  uint32_t seed = 1;
  int64_t blocks = 40;
  int64_t known_tokens = 0;
  double arrivals = 0.3;  // a step
  int requests = 2000;
};

class Simulation {
 public:
  Simulation(const Traffic& traffic, const SchedulerLimits& limits)
      : traffic_(traffic), limits_(limits), cache_(traffic.blocks), scheduler_(limits, cache_) {
    random_.seed(traffic.seed);
    cache_.known_tokens = traffic.known_tokens;
  }

  void run() {
    for (now_ = 0; sent_ < traffic_.requests || !live_.empty(); now_ += 1) {
      ASSERT_LT(now_, 1e6) << "requests never end";
      while (sent_ < traffic_.requests && draw() < traffic_.arrivals) arrive();
      if (!live_.empty() && draw() < 0.02) cancel();
      step();
      if (::testing::Test::HasFatalFailure()) return;
    }
    EXPECT_EQ(cache_.free_blocks(), traffic_.blocks) << "blocks leaked";
    EXPECT_EQ(scheduler_.running() + scheduler_.waiting(), 0);
    EXPECT_EQ(finished_ + cancelled_ + refused_, traffic_.requests);
  }

  int64_t preemptions() const { return scheduler_.preemptions(); }
  int finished() const { return finished_; }
  int refused() const { return refused_; }

 private:
  struct Request {
    int64_t prompt = 0, wanted = 0;  // tokens to draw
    int64_t drawn = 0;
    int64_t computed = 0;
  };

  double draw() { return static_cast<double>(random_()) / 4294967296.0; }
  int64_t between(int64_t low, int64_t high) {
    return low + static_cast<int64_t>(random_()) % (high - low + 1);
  }

  void arrive() {
    const SequenceId id = static_cast<SequenceId>(++sent_);
    const int64_t capacity = traffic_.blocks * CountingCache::kBlock;
    const int64_t prompt = between(1, draw() < 0.1 ? capacity : 80);
    const int64_t wanted = between(1, 60);
    const auto admission = scheduler_.add({.id = id,
                                           .arrived = now_,
                                           .tokens = prompt,
                                           .most_tokens = prompt + wanted,
                                           .scored = prompt - 1});
    if (prompt + wanted > capacity) {
      EXPECT_EQ(admission, Scheduler::Admission::kNeverFits);
    }
    if (admission == Scheduler::Admission::kQueued) {
      live_[id] = {prompt, wanted, 0, 0};
    } else {
      ++refused_;
    }
  }

  void cancel() {
    auto victim = live_.begin();
    std::advance(victim, between(0, static_cast<int64_t>(live_.size()) - 1));
    scheduler_.remove(victim->first);
    EXPECT_EQ(cache_.held(victim->first), 0);
    live_.erase(victim);
    ++cancelled_;
  }

  void step() {
    const StepPlan plan = scheduler_.schedule(now_);
    ASSERT_TRUE(!plan.chunks.empty() || live_.empty()) << "work is pending and nothing runs";
    ASSERT_LE(plan.tokens(), limits_.max_batched_tokens);
    ASSERT_LE(scheduler_.running(), limits_.max_seqs);
    for (const SequenceId id : plan.started) {  // first come, first started
      ASSERT_GT(id, last_started_);
      last_started_ = id;
    }
    for (const SequenceId id : plan.preempted) {
      ASSERT_EQ(cache_.held(id), 0);
      live_.at(id).computed = 0;
    }
    check_chunks(plan);
    scheduler_.completed(plan);
    for (const ScheduledChunk& chunk : plan.chunks) draw_token(chunk);
    check_progress(plan);
  }

  void check_chunks(const StepPlan& plan) {
    int64_t outputs = 0;
    std::map<SequenceId, bool> seen;
    for (const ScheduledChunk& chunk : plan.chunks) {
      const Request& request = live_.at(chunk.id);
      const int64_t target = request.prompt + request.drawn;
      ASSERT_FALSE(std::exchange(seen[chunk.id], true)) << "twice in a step";
      if (request.computed > 0) {
        ASSERT_EQ(chunk.position, request.computed);
      }
      ASSERT_GE(chunk.tokens, 1);
      ASSERT_LE(chunk.position + chunk.tokens, target);
      ASSERT_GE(cache_.held(chunk.id) * CountingCache::kBlock, chunk.position + chunk.tokens);
      ASSERT_EQ(chunk.outputs, chunk.position + chunk.tokens == target ? 1 : 0);
      outputs += chunk.outputs;
    }
    ASSERT_LE(outputs, limits_.max_outputs);
  }

  void draw_token(const ScheduledChunk& chunk) {
    Request& request = live_.at(chunk.id);
    request.computed = chunk.position + chunk.tokens;
    if (request.computed < request.prompt + request.drawn) return;
    if (++request.drawn < request.wanted) return scheduler_.append(chunk.id);
    scheduler_.remove(chunk.id);
    live_.erase(chunk.id);
    ++finished_;
  }

  // The oldest request gets on in every step that it is in, and it is in soon.
  void check_progress(const StepPlan& plan) {
    if (live_.empty()) return;
    const SequenceId oldest = live_.begin()->first;
    const bool planned = std::ranges::any_of(
        plan.chunks, [&](const ScheduledChunk& chunk) { return chunk.id == oldest; });
    idle_ = planned || oldest != idle_id_ ? 0 : idle_ + 1;
    idle_id_ = oldest;
    ASSERT_LE(idle_, 1) << "the oldest request stands still";
  }

  Traffic traffic_;
  SchedulerLimits limits_;
  CountingCache cache_;
  Scheduler scheduler_;
  std::mt19937 random_;
  std::map<SequenceId, Request> live_;
  double now_ = 0;
  int sent_ = 0, finished_ = 0, cancelled_ = 0, refused_ = 0;
  SequenceId last_started_ = 0, idle_id_ = 0;
  int idle_ = 0;
};

constexpr SchedulerLimits kLimits{
    .max_batched_tokens = 64, .max_seqs = 12, .max_outputs = 12, .max_waiting = 5000};

TEST(SchedulerSimulation, EveryRequestEndsAndNoBlockLeaks) {
  int64_t preemptions = 0;
  for (uint32_t seed = 1; seed <= 5; ++seed) {
    Simulation simulation({.seed = seed}, kLimits);
    simulation.run();
    preemptions += simulation.preemptions();
    EXPECT_GT(simulation.finished(), 1000);
  }
  EXPECT_GT(preemptions, 100) << "the cache was not small enough to try anything";
}

TEST(SchedulerSimulation, ABurstOfEverythingAtOnce) {
  Simulation simulation({.seed = 9, .arrivals = 1}, kLimits);
  simulation.run();
}

TEST(SchedulerSimulation, SharedPrefixes) {
  Simulation simulation({.seed = 10, .known_tokens = 48, .arrivals = 0.5}, kLimits);
  simulation.run();
  EXPECT_GT(simulation.preemptions(), 0);
}

TEST(SchedulerSimulation, TinyBudgets) {
  Simulation simulation({.seed = 11, .blocks = 3, .requests = 500},
                        {.max_batched_tokens = 2, .max_seqs = 2, .max_outputs = 2});
  simulation.run();
}

TEST(SchedulerSimulation, AShortQueueRefuses) {
  SchedulerLimits limits = kLimits;
  limits.max_waiting = 3;
  Simulation simulation({.seed = 12, .arrivals = 0.6}, limits);
  simulation.run();
  EXPECT_GT(simulation.refused(), 500);
}

}  // namespace
}  // namespace ashlar::serve
