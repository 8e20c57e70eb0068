// The interval of saves against a simulated run: what it costs is what was asked for.
#include "ashlar/train/save_interval.h"

#include "ashlar/train/config.h"

#include <gtest/gtest.h>

#include <cmath>

namespace ashlar::train {
namespace {

// A run on modelled time: how long steps take, what a save adds.
struct Machine {
  double step_s = 1, stall_s = 0.5;
  double write_s = 3;   // of a save, in the background
  double slowed = 1.2;  // steps meanwhile
};

struct Ran {
  double seconds = 0, plain_seconds = 0;  // plain: without saves
  int64_t saves = 0;
  SaveInterval interval;
  double overhead() const { return seconds / plain_seconds - 1; }
};

Ran simulate(const Machine& machine, int64_t steps) {
  Ran ran{.interval = {CheckpointSection::kAuto, 1}};
  double writing_until = 0, stall = 0;
  double tuned_at = 0, plain_at = 0;
  for (int64_t step = 1; step <= steps; ++step) {
    const bool slow = ran.seconds < writing_until;
    const double seconds = machine.step_s * (slow ? machine.slowed : 1);
    ran.seconds += seconds;
    ran.plain_seconds += machine.step_s;
    if (ran.interval.tuning()) {
      ran.interval.observe({seconds, stall, ran.seconds < writing_until});
      if (!ran.interval.tuning()) {
        tuned_at = ran.seconds;
        plain_at = ran.plain_seconds;
      }
    }
    stall = 0;
    if (!ran.interval.due(step)) continue;
    ++ran.saves;
    stall = machine.stall_s;
    if (ran.saves == 1) stall *= 5;  // memory is touched for the first time
    ran.seconds += stall;
    writing_until = ran.seconds + machine.write_s;
  }
  ran.seconds -= tuned_at;
  ran.plain_seconds -= plain_at;
  return ran;
}

TEST(SaveInterval, KeepsToTheOverhead) {
  for (const Machine& machine :
       {Machine{}, Machine{.stall_s = 2, .write_s = 30, .slowed = 1.5},
        Machine{.step_s = 0.01, .stall_s = 0.003, .write_s = 0.004, .slowed = 1},
        Machine{.stall_s = 0.01, .write_s = 25, .slowed = 1}}) {
    const Ran ran = simulate(machine, 20'000);
    ASSERT_TRUE(ran.interval.decision().has_value());
    const auto& decision = *ran.interval.decision();
    EXPECT_LE(ran.overhead(), SaveInterval::kOverhead + 1e-9);
    EXPECT_NEAR(ran.overhead(), decision.overhead(), 0.003);
    // Not rarer than it must be.
    const double rarer = static_cast<double>(decision.every - 1) * machine.step_s;
    EXPECT_TRUE(decision.stall_s + decision.slowed_s > SaveInterval::kOverhead * rarer ||
                decision.write_s > rarer);
  }
}

TEST(SaveInterval, OftenWhereItCostsNothing) {
  const Ran ran = simulate({.step_s = 10, .stall_s = 0.01, .write_s = 1, .slowed = 1}, 1000);
  EXPECT_EQ(ran.interval.decision()->every, 1);
  EXPECT_GT(ran.saves, 980);
}

TEST(SaveInterval, FixedNumbersStayWhatTheyWere) {
  SaveInterval fifth(5, 1), never(0, 1);
  EXPECT_FALSE(fifth.tuning());
  for (int64_t step = 1; step <= 20; ++step) {
    EXPECT_EQ(fifth.due(step), step % 5 == 0);
    EXPECT_FALSE(never.due(step));
  }
}

}  // namespace
}  // namespace ashlar::train
