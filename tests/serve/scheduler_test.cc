// What the scheduler plans, step by step, in small cases.
#include "ashlar/serve/policy/scheduler.h"

#include "ashlar/base/error.h"
#include "tests/base/messages.h"
#include "tests/serve/scheduler_cache.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::serve {

void PrintTo(const ScheduledChunk& chunk, std::ostream* out) {
  *out << fmt::format("{{{}: {}+{}, {} logits}}", chunk.id, chunk.position, chunk.tokens,
                      chunk.outputs);
}

namespace {

using ::testing::ElementsAre;
using ::testing::IsEmpty;
using Admission = Scheduler::Admission;

class SchedulerTest : public ::testing::Test {
 protected:
  void make(SchedulerLimits limits, int64_t blocks,
            std::unique_ptr<const SchedulingOrder> order = nullptr) {
    cache_ = std::make_unique<CountingCache>(blocks);
    scheduler_ = std::make_unique<Scheduler>(limits, *cache_, std::move(order));
  }

  Admission add(SequenceId id, int64_t tokens, int64_t most = 0) {
    return scheduler_->add({.id = id,
                            .arrived = static_cast<double>(id),
                            .tokens = tokens,
                            .most_tokens = std::max(most, tokens + 1),
                            .scored = tokens - 1});
  }

  // Plans a step, computes it, and draws a token for each sequence that came to its end.
  std::vector<ScheduledChunk> step() {
    const StepPlan plan = scheduler_->schedule(0);
    preempted_ = plan.preempted;
    started_ = plan.started;
    scheduler_->completed(plan);
    for (const ScheduledChunk& chunk : plan.chunks) {
      if (scheduler_->find(chunk.id)->remaining() == 0) scheduler_->append(chunk.id);
    }
    return plan.chunks;
  }

  std::unique_ptr<CountingCache> cache_;
  std::unique_ptr<Scheduler> scheduler_;
  std::vector<SequenceId> preempted_, started_;
};

TEST_F(SchedulerTest, CutsALongPromptIntoChunks) {
  make({.max_batched_tokens = 10, .max_seqs = 4, .max_outputs = 4}, 100);
  add(1, 25);
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 0, 10, 0}));
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 10, 10, 0}));
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 20, 5, 1}));
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 25, 1, 1}));
}

TEST_F(SchedulerTest, DecodesEverybodyBeforeItPrefills) {
  make({.max_batched_tokens = 10, .max_seqs = 4, .max_outputs = 4}, 100);
  add(1, 3);
  add(2, 4);
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 0, 3, 1}, ScheduledChunk{2, 0, 4, 1}));
  add(3, 30);
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 3, 1, 1}, ScheduledChunk{2, 4, 1, 1},
                                  ScheduledChunk{3, 0, 8, 0}));
  EXPECT_THAT(started_, ElementsAre(3));
}

TEST_F(SchedulerTest, OlderPrefillGetsTheBudgetFirst) {
  make({.max_batched_tokens = 10, .max_seqs = 4, .max_outputs = 4}, 100);
  add(1, 15);
  add(2, 15);
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 0, 10, 0}));
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 10, 5, 1}, ScheduledChunk{2, 0, 5, 0}));
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 15, 1, 1}, ScheduledChunk{2, 5, 9, 0}));
}

TEST_F(SchedulerTest, RunsNoMoreThanMaxSeqs) {
  make({.max_batched_tokens = 100, .max_seqs = 2, .max_outputs = 2}, 100);
  for (SequenceId id = 1; id <= 3; ++id) add(id, 5);
  EXPECT_EQ(step().size(), 2u);
  EXPECT_EQ(scheduler_->waiting(), 1);
  scheduler_->remove(1);
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{2, 5, 1, 1}, ScheduledChunk{3, 0, 5, 1}));
}

TEST_F(SchedulerTest, NobodyOvertakesTheFirstInTheQueue) {
  make({.max_batched_tokens = 100, .max_seqs = 8, .max_outputs = 8}, 4);
  add(1, 32);  // two of four blocks
  step();
  add(2, 40);  // three blocks: there is room for two
  add(3, 4);   // would fit
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 32, 1, 1}));
  scheduler_->remove(1);
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{2, 0, 40, 1}));
}

TEST_F(SchedulerTest, PreemptsTheLastComeAndComputesItAgain) {
  make({.max_batched_tokens = 100, .max_seqs = 8, .max_outputs = 8}, 4);
  add(1, 16, 40);
  add(2, 15, 40);
  add(3, 15, 40);
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 0, 16, 1}, ScheduledChunk{2, 0, 15, 1}))
      << "for the third no block would be left over";
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 16, 1, 1}, ScheduledChunk{2, 15, 1, 1}));
  // 2 needs its second block and gets the last one; then 3 has to wait for more.
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 17, 1, 1}, ScheduledChunk{2, 16, 1, 1}));
  EXPECT_EQ(cache_->free_blocks(), 0);
  for (int i = 18; i < 32; ++i) step();
  // 1 needs a third block: 2, the last come, gives up both of its own.
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 32, 1, 1}));
  EXPECT_THAT(preempted_, ElementsAre(2));
  EXPECT_EQ(scheduler_->preemptions(), 1);
  scheduler_->remove(1);
  // 2 comes before 3, with the tokens it has drawn; none of them is drawn again.
  const int64_t tokens = scheduler_->find(2)->target;
  EXPECT_EQ(tokens, 32);
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{2, 0, tokens, 1}, ScheduledChunk{3, 0, 15, 1}));
  EXPECT_THAT(started_, ElementsAre(3)) << "2 had started before";
}

TEST_F(SchedulerTest, WhoFoundItsPrefixComputesTheRest) {
  make({.max_batched_tokens = 100, .max_seqs = 8, .max_outputs = 8}, 100);
  cache_->known_tokens = 1000;
  add(1, 33);
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 32, 1, 1}));
  add(2, 32);
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 33, 1, 1}, ScheduledChunk{2, 16, 16, 1}))
      << "the last token is always computed: its logits are wanted";
}

TEST_F(SchedulerTest, ScoresPromptsWithinTheRowsOfLogits) {
  make({.max_batched_tokens = 100, .max_seqs = 2, .max_outputs = 6}, 100);
  cache_->known_tokens = 1000;
  scheduler_->add({.id = 1, .tokens = 12, .most_tokens = 20, .scored = 0});
  add(2, 40);
  // Four spare rows and one of its own; the other sequence is not held up.
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 0, 5, 5}, ScheduledChunk{2, 32, 8, 1}));
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 5, 5, 5}, ScheduledChunk{2, 40, 1, 1}));
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 10, 2, 2}, ScheduledChunk{2, 41, 1, 1}));
}

TEST_F(SchedulerTest, ScoresFromWhereItIsAsked) {
  make({.max_batched_tokens = 100, .max_seqs = 1, .max_outputs = 3}, 100);
  scheduler_->add({.id = 1, .tokens = 12, .most_tokens = 20, .scored = 8});
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 0, 11, 3}));
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 11, 1, 1}));
}

TEST_F(SchedulerTest, RefusesWhatCouldNeverRun) {
  make({.max_waiting = 2}, 4);
  EXPECT_EQ(add(1, 65), Admission::kNeverFits);
  EXPECT_EQ(add(2, 10, 65), Admission::kNeverFits);
  EXPECT_EQ(add(3, 10, 64), Admission::kQueued);
  EXPECT_EQ(add(4, 10), Admission::kQueued);
  EXPECT_EQ(add(5, 10), Admission::kQueueFull);
  step();
  EXPECT_EQ(add(5, 10), Admission::kQueued) << "those that run do not queue";
}

TEST_F(SchedulerTest, RemovesFromAnyState) {
  make({.max_batched_tokens = 16, .max_seqs = 1, .max_outputs = 1, .max_waiting = 2}, 4);
  add(1, 10);
  add(2, 10);
  step();
  scheduler_->remove(2);
  scheduler_->remove(1);
  scheduler_->remove(7);
  EXPECT_THAT(step(), IsEmpty());
  EXPECT_EQ(cache_->holders(), 0);
  EXPECT_EQ(add(3, 5), Admission::kQueued);
  EXPECT_EQ(add(4, 5), Admission::kQueued) << "the removed one left the queue";
}

TEST_F(SchedulerTest, AFollowerWaitsForItsLeadersPrompt) {
  make({.max_batched_tokens = 10, .max_seqs = 4, .max_outputs = 4}, 100);
  add(1, 15);
  for (const SequenceId id : {2, 3}) {
    scheduler_->add({.id = id, .tokens = 15, .most_tokens = 20, .scored = 14, .after = 1});
  }
  add(4, 3);
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 0, 10, 0}));
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 10, 5, 1}, ScheduledChunk{4, 0, 3, 1}))
      << "others need not wait for the followers";
  cache_->known_tokens = 1000;
  scheduler_->remove(4);
  scheduler_->remove(2);
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 15, 1, 1}, ScheduledChunk{3, 0, 9, 0}));
}

TEST_F(SchedulerTest, AFollowerOfOneThatIsGoneWaitsForNobody) {
  make({.max_batched_tokens = 40, .max_seqs = 4, .max_outputs = 4}, 100);
  add(1, 15);
  const auto follow = [&](SequenceId id) {
    scheduler_->add({.id = id, .tokens = 15, .most_tokens = 20, .scored = 14, .after = 1});
  };
  follow(2);
  scheduler_->remove(1);
  follow(3);
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{2, 0, 15, 1}, ScheduledChunk{3, 0, 15, 1}));
}

TEST_F(SchedulerTest, ATokenMayMakeAllBeforeItBeComputedAnew) {
  make({.max_batched_tokens = 10, .max_seqs = 4, .max_outputs = 4}, 100);
  add(1, 9, 20);
  scheduler_->completed(scheduler_->schedule(0));
  scheduler_->append_anew(1);
  EXPECT_EQ(cache_->free_blocks(), 100);
  EXPECT_EQ(scheduler_->waiting(), 1);
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 0, 10, 1}));
  EXPECT_THAT(started_, IsEmpty());
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{1, 10, 1, 1}));
}

// Another policy is another order.
class ShortestFirst : public SchedulingOrder {
 public:
  bool before(const ScheduledSequence& a, const ScheduledSequence& b, double) const override {
    return a.most_tokens != b.most_tokens ? a.most_tokens < b.most_tokens : a.id < b.id;
  }
};

TEST_F(SchedulerTest, AnotherOrderIsAnotherPolicy) {
  make({.max_batched_tokens = 10, .max_seqs = 1, .max_outputs = 1}, 100,
       std::make_unique<ShortestFirst>());
  add(1, 9);
  add(2, 5);
  EXPECT_THAT(step(), ElementsAre(ScheduledChunk{2, 0, 5, 1}));
}

TEST(SchedulerLimits, NamesWhatDoesNotGoTogether) {
  using ashlar::testing::error_of;
  EXPECT_EQ(error_of([] { SchedulerLimits{.max_batched_tokens = 4, .max_seqs = 8}.validate(); }),
            "max_num_batched_tokens: 4 is less than max_num_seqs = 8; a step decodes one token of "
            "each sequence");
  EXPECT_EQ(error_of([] { SchedulerLimits{.max_seqs = 0}.validate(); }),
            "max_num_seqs: 0 is not positive");
}

}  // namespace
}  // namespace ashlar::serve
