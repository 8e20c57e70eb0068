// The interval of saves against a simulated run: what it costs is what was asked for.
#include "ashlar/train/save_interval.h"

#include "ashlar/train/config.h"

#include <gtest/gtest.h>

#include <cstdint>
#include <random>
#include <utility>

namespace ashlar::train {
namespace {

// A run on modelled time: how long steps take, what a save adds.
struct Machine {
  double step_s = 1, stall_s = 0.5;
  double write_s = 3;   // of a save, in the background
  double slowed = 1.2;  // steps meanwhile
  double noise = 0;     // steps and stalls last up to this share longer, by chance
};

struct Ran {
  double seconds = 0, plain_seconds = 0;  // plain: without saves
  int64_t saves = 0;
  SaveInterval interval{CheckpointSection::kAuto, 1};
  double overhead() const { return seconds / plain_seconds - 1; }
};

void simulate(Ran& ran, const Machine& machine, int64_t steps) {
  std::mt19937_64 generator(7);
  std::uniform_real_distribution<double> chance(0, machine.noise);
  double writing_until = 0, stall = 0;
  for (int64_t step = 1; step <= steps; ++step) {
    const double plain = machine.step_s * (1 + chance(generator));
    const double seconds = plain * (ran.seconds < writing_until ? machine.slowed : 1);
    ran.seconds += seconds;
    ran.plain_seconds += plain;
    ran.interval.observe({seconds, std::exchange(stall, 0), ran.seconds < writing_until});
    if (!ran.interval.due(step)) continue;
    stall = machine.stall_s * (1 + chance(generator));
    if (ran.saves++ == 0) stall *= 5;  // memory is touched for the first time
    ran.seconds += stall;
    writing_until = ran.seconds + machine.write_s;
  }
}

Ran simulate(const Machine& machine, int64_t steps) {
  Ran ran;
  simulate(ran, machine, steps);
  return ran;
}

// Of the whole run, its first two saves too.
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

// Two saves timed on a machine that others use say little of all that follow.
TEST(SaveInterval, KeepsToTheOverheadOnABusyMachine) {
  const Ran ran = simulate({.write_s = 12, .noise = 0.5}, 20'000);
  EXPECT_LE(ran.overhead(), SaveInterval::kOverhead * 1.1);
  EXPECT_GE(ran.overhead(), SaveInterval::kOverhead / 2);
}

// A disk that grows slow is saved to less often; while the run pays off what that has cost, not at
// all.
TEST(SaveInterval, FollowsAMachineThatChanges) {
  Ran ran = simulate({}, 5000);
  const int64_t before = ran.interval.decision()->every;
  simulate(ran, {.stall_s = 4, .write_s = 20, .slowed = 1.5}, 20'000);
  EXPECT_GT(ran.interval.decision()->every, 4 * before);
  EXPECT_LE(ran.overhead(), SaveInterval::kOverhead + 1e-3);
}

TEST(SaveInterval, OftenWhereItCostsNothing) {
  const Ran ran = simulate({.step_s = 10, .stall_s = 0.01, .write_s = 1, .slowed = 1}, 1000);
  EXPECT_EQ(ran.interval.decision()->every, 1);
  EXPECT_GT(ran.saves, 980);
}

TEST(SaveInterval, FixedNumbersStayWhatTheyWere) {
  SaveInterval fifth(5, 1), never(0, 1);
  for (int64_t step = 1; step <= 20; ++step) {
    EXPECT_EQ(fifth.due(step), step % 5 == 0);
    EXPECT_FALSE(never.due(step));
  }
}

}  // namespace
}  // namespace ashlar::train
