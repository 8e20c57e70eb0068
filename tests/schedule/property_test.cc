// Random shapes: every generator passes the checker and the text form; damaged schedules are
// refused exactly where an executor that shares nothing with the checker fails.
#include "ashlar/base/philox.h"
#include "ashlar/schedule/check.h"
#include "ashlar/schedule/communication.h"
#include "ashlar/schedule/generators.h"
#include "ashlar/schedule/play.h"
#include "ashlar/schedule/slots.h"
#include "ashlar/schedule/text.h"
#include "tests/base/messages.h"
#include "tests/schedule/executor.h"

#include <gtest/gtest.h>

#include <algorithm>
#include <map>
#include <string>
#include <utility>
#include <vector>

namespace ashlar::schedule {
namespace {

using ashlar::testing::error_of;
using testing::runs_correctly;

constexpr const char* kNoError = "(no error)";

class Draw {
 public:
  explicit Draw(const std::string& name) : stream_(7, name) {}
  int below(size_t bound) { return static_cast<int>(stream_.below(next_++, bound)); }
  int between(int low, int high) { return low + below(static_cast<size_t>(high - low + 1)); }

 private:
  RandomStream stream_;
  uint64_t next_ = 0;
};

Shape random_shape(Draw& draw, const std::string& name, int most_ranks, int most_microbatches) {
  Shape shape{.ranks = draw.between(1, most_ranks),
              .microbatches = draw.between(1, most_microbatches),
              .chunks = draw.between(2, 4),
              .waves = draw.between(1, 3)};
  if (name == "interleaved") shape.microbatches = shape.ranks * draw.between(1, 3);
  if (name == "chimera") {
    shape.ranks = 2 * draw.between(1, most_ranks / 2);
    shape.microbatches = 2 * draw.between(1, most_microbatches / 2);
  }
  return shape;
}

class GeneratorTest : public ::testing::TestWithParam<std::string> {};

TEST_P(GeneratorTest, PassesTheCheckerWithAndWithoutMessages) {
  Draw draw(GetParam());
  for (int round = 0; round < 60; ++round) {
    const Shape shape = random_shape(draw, GetParam(), 8, 20);
    const Schedule bare = generate(GetParam(), shape);
    SCOPED_TRACE(str(bare));
    ASSERT_EQ(error_of([&] { check(bare); }), kNoError);
    ASSERT_TRUE(runs_correctly(bare));
    for (const Sends sends : {Sends::kBuffered, Sends::kRendezvous}) {
      const Schedule full = add_messages(bare, sends);
      ASSERT_EQ(error_of([&] { check(full, sends); }), kNoError) << str(full);
      ASSERT_EQ(error_of([&] { check(full, Sends::kBuffered); }), kNoError);
      ASSERT_TRUE(runs_correctly(full));
      ASSERT_EQ(error_of([&] { check(add_update(full), sends); }), kNoError);
      ASSERT_EQ(parse(str(full)), full);
    }
    ASSERT_EQ(parse(str(bare)), bare);
    const Schedule updated = add_messages(add_update(bare));
    ASSERT_EQ(error_of([&] { check(updated); }), kNoError);
    ASSERT_EQ(parse(str(updated)), updated);
  }
}

TEST_P(GeneratorTest, SlotsAreThePeaksOfThePlay) {
  Draw draw(GetParam());
  for (int round = 0; round < 20; ++round) {
    const Schedule schedule = generate(GetParam(), random_shape(draw, GetParam(), 6, 12));
    const Slots slots = assign_slots(schedule);
    const Timeline timeline = play(schedule, uniform_costs(schedule));
    for (size_t rank = 0; rank < slots.chunks.size(); ++rank) {
      int until_weight = 0;
      for (const ChunkSlots& chunk : slots.chunks[rank]) {
        EXPECT_LE(chunk.until_backward, chunk.until_weight);
        until_weight += chunk.until_weight;
      }
      // Chunks may peak at different times, so the sum is at least the peak; one chunk equals it.
      EXPECT_GE(until_weight, timeline.ranks[rank].peak_until_weight);
      if (slots.chunks[rank].size() == 1) {
        EXPECT_EQ(until_weight, timeline.ranks[rank].peak_until_weight);
      }
    }
  }
}

// No slot is filled while a microbatch that still has a reader holds it.
TEST_P(GeneratorTest, SlotsAreNeverSharedByLivingMicrobatches) {
  Draw draw(GetParam());
  for (int round = 0; round < 20; ++round) {
    const Schedule schedule = generate(GetParam(), random_shape(draw, GetParam(), 6, 12));
    const Slots slots = assign_slots(schedule);
    for (size_t rank = 0; rank < schedule.ranks.size(); ++rank) {
      std::map<std::pair<int, int>, int> b_holder, w_holder;  // (chunk, slot) -> microbatch
      for (size_t at = 0; at < schedule.ranks[rank].size(); ++at) {
        const Instruction& i = schedule.ranks[rank][at];
        const InstructionSlots& used = slots.instructions[rank][at];
        const std::pair b(i.chunk, used.until_backward), w(i.chunk, used.until_weight);
        if (i.kind == Kind::kForward) {
          ASSERT_TRUE(b_holder.emplace(b, i.microbatch).second);
          ASSERT_TRUE(w_holder.emplace(w, i.microbatch).second);
          continue;
        }
        if (gives_gradient(i.kind)) {
          ASSERT_EQ(b_holder.at(b), i.microbatch);
          b_holder.erase(b);
        }
        ASSERT_EQ(w_holder.at(w), i.microbatch);
        if (i.kind != Kind::kInputGrad) w_holder.erase(w);
      }
      EXPECT_TRUE(b_holder.empty() && w_holder.empty());
    }
  }
}

Schedule damaged(Schedule schedule, Draw& draw) {
  const auto pick = [&]() -> InstructionList& {
    for (;;) {
      InstructionList& list =
          schedule.ranks[static_cast<size_t>(draw.below(schedule.ranks.size()))];
      if (!list.empty()) return list;
    }
  };
  InstructionList& list = pick();
  const int at = draw.below(list.size()), other = draw.below(list.size());
  switch (draw.below(7)) {
    case 0:
      list.erase(list.begin() + at);
      break;
    case 1:
      std::swap(list[static_cast<size_t>(at)], list[static_cast<size_t>(other)]);
      break;
    case 2:  // neighbours: often still valid
      if (at + 1 < static_cast<int>(list.size())) {
        std::swap(list[static_cast<size_t>(at)], list[static_cast<size_t>(at) + 1]);
      }
      break;
    case 3:
      list.insert(list.begin() + other, Instruction(list[static_cast<size_t>(at)]));
      break;
    case 4:
      list[static_cast<size_t>(at)].microbatch = draw.between(-1, schedule.microbatches);
      break;
    case 5:
      list[static_cast<size_t>(at)].chunk = draw.between(-1, 2);
      break;
    default: {  // move within the list
      const Instruction moved = list[static_cast<size_t>(at)];
      list.erase(list.begin() + at);
      list.insert(list.begin() + std::min<long>(other, static_cast<long>(list.size())), moved);
    }
  }
  return schedule;
}

TEST_P(GeneratorTest, DamageIsRefusedExactlyWhereAnExecutorFails) {
  Draw draw(GetParam() + " damaged");
  int refused = 0, accepted = 0;
  for (int round = 0; round < 1500; ++round) {
    Schedule schedule = generate(GetParam(), random_shape(draw, GetParam(), 4, 6));
    if (round % 3 != 0) {
      schedule = add_messages(schedule, round % 3 == 1 ? Sends::kBuffered : Sends::kRendezvous);
    }
    for (int hits = draw.between(1, 2); hits > 0; --hits) schedule = damaged(schedule, draw);
    const std::string error = error_of([&] { check(schedule); });
    const bool valid = runs_correctly(schedule);
    ASSERT_EQ(error == kNoError, valid) << error << "\n" << str(schedule);
    ++(valid ? accepted : refused);
  }
  // Both verdicts occur often, or the test would prove little.
  EXPECT_GT(refused, 500);
  EXPECT_GT(accepted, 50);
}

INSTANTIATE_TEST_SUITE_P(All, GeneratorTest,
                         ::testing::ValuesIn(generator_names().begin(), generator_names().end()),
                         [](const auto& each) {
                           std::string name = each.param;
                           std::ranges::replace(name, '-', '_');
                           return name;
                         });

}  // namespace
}  // namespace ashlar::schedule
