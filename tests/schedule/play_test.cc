#include "ashlar/schedule/play.h"

#include "ashlar/schedule/communication.h"
#include "ashlar/schedule/generators.h"
#include "ashlar/schedule/slots.h"
#include "ashlar/schedule/svg.h"
#include "ashlar/schedule/text.h"
#include "tests/base/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <string>
#include <utility>
#include <vector>

namespace ashlar::schedule {
namespace {

using ashlar::testing::error_of;
using ::testing::ElementsAre;
using ::testing::Pair;

std::vector<std::pair<double, double>> times(const Timeline& timeline, size_t rank) {
  std::vector<std::pair<double, double>> times;
  for (const Span& span : timeline.ranks[rank].spans) {
    if (is_compute(span.instruction.kind)) times.push_back({span.start, span.end});
  }
  return times;
}

TEST(PlayTest, TwoRanksByHand) {
  const Schedule schedule = one_f_one_b(2, 2);
  const Timeline t = play(schedule, uniform_costs(schedule));
  EXPECT_THAT(times(t, 0), ElementsAre(Pair(0, 1), Pair(1, 2), Pair(4, 6), Pair(7, 9)));
  EXPECT_THAT(times(t, 1), ElementsAre(Pair(1, 2), Pair(2, 4), Pair(4, 5), Pair(5, 7)));
  EXPECT_EQ(t.makespan, 9);
  EXPECT_DOUBLE_EQ(t.bubble(), 1. / 3);
  EXPECT_DOUBLE_EQ(t.bubble_over_ideal(), 0.5);
  EXPECT_EQ(t.idle(), 3);
}

TEST(PlayTest, MessagesTakeTheLinksTimeAndSerialise) {
  const Schedule schedule = one_f_one_b(2, 2);
  Costs costs = uniform_costs(schedule, {.message = 300});
  costs.link = {.latency = 0.25, .bandwidth = 200};  // 1.5 s on the wire: longer than a forward
  const Timeline t = play(schedule, costs);
  ASSERT_EQ(t.transfers.size(), 4u);
  EXPECT_EQ(t.transfers[0].start, 1);
  EXPECT_EQ(t.transfers[0].end, 2.75);
  EXPECT_EQ(t.transfers[1].start, 2);  // the wire is free at 2.5
  EXPECT_EQ(t.transfers[1].end, 4.25);
  EXPECT_THAT(times(t, 1),
              ElementsAre(Pair(2.75, 3.75), Pair(3.75, 5.75), Pair(5.75, 6.75), Pair(6.75, 8.75)));
  EXPECT_THAT(times(t, 0), ElementsAre(Pair(0, 1), Pair(1, 2), Pair(7.5, 9.5), Pair(10.5, 12.5)));
  EXPECT_EQ(t.makespan, 12.5);
}

// On one processor a pipeline takes as long as its work: one rank's bubble is another's speed.
TEST(PlayTest, RanksShareProcessors) {
  const Schedule schedule = one_f_one_b(2, 2);
  Costs costs = uniform_costs(schedule);
  costs.processors = 1;
  EXPECT_NEAR(play(schedule, costs).makespan, 12, 1e-9);
  costs.processors = 2;
  EXPECT_NEAR(play(schedule, costs).makespan, 9, 1e-9);
  costs.processors = 0;
  EXPECT_EQ(error_of([&] { play(schedule, costs); }), "schedule 1f1b: 0 processors");
}

TEST(PlayTest, StagesMayDiffer) {
  const Schedule schedule = gpipe(2, 2);
  Costs costs = uniform_costs(schedule);
  costs.stages[1].forward = 3;
  const Timeline t = play(schedule, costs);
  EXPECT_THAT(times(t, 1), ElementsAre(Pair(1, 4), Pair(4, 7), Pair(7, 9), Pair(9, 11)));
  costs.stages.pop_back();
  EXPECT_EQ(error_of([&] { play(schedule, costs); }),
            "schedule gpipe: costs of 1 stages are given, there are 2");
  costs = uniform_costs(schedule, {.weight = -1});
  EXPECT_EQ(error_of([&] { play(schedule, costs); }),
            "schedule gpipe: a weight gradient takes -1 s");
}

TEST(PlayTest, SavedBytesAreHeldUntilTheirLastReader) {
  const Schedule schedule = zb_h1(4, 8);
  const Costs costs = uniform_costs(
      schedule, {.saved_until_backward = 100, .saved_until_weight = 10, .weights = 1000});
  const Timeline t = play(schedule, costs);
  for (int i = 0; i < 4; ++i) {
    const RankTimeline& rank = t.ranks[static_cast<size_t>(i)];
    EXPECT_EQ(rank.peak_until_backward, 4 - i);
    EXPECT_EQ(rank.peak_until_weight, 4);
    EXPECT_EQ(rank.peak_bytes, 1000 + 100 * (4 - i) + 10 * 4);
  }
}

TEST(PlayTest, MemoryEndsWhereTheCapIs) {
  const Schedule schedule = gpipe(2, 4);
  Costs costs = uniform_costs(schedule, {.saved_until_backward = 100, .weights = 50});
  costs.memory = 450;
  EXPECT_EQ(play(schedule, costs).ranks[0].peak_bytes, 450);
  costs.memory = 449;
  EXPECT_EQ(error_of([&] { play(schedule, costs); }),
            "rank 0: activations asks for 100 bytes, 350 are in use, the cap is 449: 1 too many "
            "(in use: activations 300, params 50)");
  // The same model and cap train under 1F1B.
  EXPECT_EQ(play(one_f_one_b(2, 4), costs).ranks[0].peak_bytes, 250);
}

TEST(PlayTest, EvictAndLoadTakeTheHostLink) {
  const Schedule schedule = parse(
      "schedule x\nmicrobatches 2\nstages 0\n"
      "rank 0: F0 evict0 F1 BW1 load0 BW0\n");
  Costs costs = uniform_costs(schedule, {.saved_until_backward = 100});
  costs.host = {.latency = 0.125, .bandwidth = 400};  // 100 bytes in 0.25 s
  costs.memory = 200;
  const Timeline t = play(schedule, costs);
  EXPECT_THAT(times(t, 0), ElementsAre(Pair(0, 1), Pair(1, 2), Pair(2, 4), Pair(4.375, 6.375)));
  EXPECT_EQ(t.ranks[0].peak_bytes, 200);  // while it left
  EXPECT_EQ(t.ranks[0].peak_until_backward, 2);
}

TEST(PlayTest, ReduceRunsBesideAndTheStepWaits) {
  const Schedule schedule = add_update(gpipe(1, 2));
  Costs costs = uniform_costs(schedule);
  costs.reduce = 5;
  costs.step = 2;
  EXPECT_EQ(play(schedule, costs).makespan, 6 + 5 + 2);
  const Schedule v = add_update(zb_v(1, 1));  // F0.0 F0.1 B0.1 W0.1 reduce.1 B0.0 W0.0 reduce.0
  EXPECT_EQ(str(v, 0, v.ranks[0][4]), "reduce.1");
  // The first reduce ends at 4 + 5, the second after it.
  EXPECT_EQ(play(v,
                 [&] {
                   Costs c = uniform_costs(v);
                   c.reduce = 5;
                   c.step = 2;
                   return c;
                 }())
                .makespan,
            4 + 5 + 5 + 2);
}

TEST(PlayTest, GatheredWeightsAreThereOnlyWhenAskedFor) {
  const Schedule schedule = parse(
      "schedule x\nmicrobatches 1\nstages 0 0\n"
      "rank 0: gather.0 F0.0 evict.0 gather.1 F0.1 BW0.1 evict.1 gather.0 BW0.0 evict.0\n");
  Costs costs = uniform_costs(schedule, {.weights = 100});
  costs.gather = 0.5;
  costs.memory = 100;  // one stage at a time
  const Timeline t = play(schedule, costs);
  EXPECT_EQ(t.makespan, 1.5 + 6);
  EXPECT_EQ(t.ranks[0].peak_bytes, 100);
}

TEST(SlotsTest, AreNumberedLowestFirst) {
  const Slots slots =
      assign_slots(parse("schedule x\nmicrobatches 3\nstages 0\n"
                         "rank 0: F0 F1 B0 F2 B1 W0 B2 W1 W2\n"));
  EXPECT_EQ(slots.chunks[0][0], (ChunkSlots{2, 3}));
  EXPECT_THAT(
      slots.instructions[0],
      ElementsAre(InstructionSlots{0, 0}, InstructionSlots{1, 1}, InstructionSlots{0, 0},
                  InstructionSlots{0, 2}, InstructionSlots{1, 1}, InstructionSlots{-1, 0},
                  InstructionSlots{0, 2}, InstructionSlots{-1, 1}, InstructionSlots{-1, 2}));
}

TEST(SlotsTest, EvictedMicrobatchesNeedNone) {
  const Slots slots =
      assign_slots(parse("schedule x\nmicrobatches 2\nstages 0\n"
                         "rank 0: F0 evict0 F1 BW1 load0 BW0\n"));
  EXPECT_EQ(slots.chunks[0][0], (ChunkSlots{1, 1}));
  EXPECT_EQ(slots.instructions[0][4], (InstructionSlots{0, 0}));
}

TEST(SvgTest, HasABoxForEachInstructionAndALineForEachSlowMessage) {
  const Schedule schedule = zb_v(4, 8);
  Costs costs = uniform_costs(schedule);
  const auto count = [](const std::string& text, const std::string& what) {
    size_t found = 0;
    for (size_t at = text.find(what); at != std::string::npos; at = text.find(what, at + 1)) {
      ++found;
    }
    return found;
  };
  const std::string box = "stroke=\"#ffffff\"", line = "stroke-opacity=\"0.75\"";
  const std::string quick = to_svg(schedule, play(schedule, costs), {.title = "a < b & c"});
  EXPECT_EQ(count(quick, box), 4u * 8 * 6);
  EXPECT_EQ(count(quick, line), 0u);
  EXPECT_EQ(count(quick, "a &lt; b &amp; c"), 1u);
  EXPECT_EQ(count(quick, ">message<"), 0u);
  costs.link.latency = 0.5;
  const std::string slow = to_svg(schedule, play(schedule, costs));
  EXPECT_EQ(count(slow, line), 2u * 6 * 8);
  EXPECT_EQ(count(slow, ">message<"), 1u);
  EXPECT_EQ(count(slow, "rank 3"), 1u);
}

}  // namespace
}  // namespace ashlar::schedule
