#include "ashlar/sim/simulator.h"

#include "tests/base/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>
#include <vector>

namespace ashlar::sim {
namespace {

using ashlar::testing::error_of;
using ::testing::ElementsAre;

TEST(SimulatorTest, RunsActionsByTimeAndTiesInTheOrderAskedFor) {
  Simulator simulator;
  std::vector<int> ran;
  std::vector<double> times;
  const auto note = [&](int what) {
    return [&, what] {
      ran.push_back(what);
      times.push_back(simulator.now());
    };
  };
  simulator.at(2, note(4));
  simulator.at(1, note(0));
  simulator.at(1, [&] {
    note(1)();
    simulator.after(0, note(3));  // the same instant, asked for last
    simulator.after(2, note(6));
  });
  simulator.at(1, note(2));
  simulator.at(2, note(5));
  simulator.run();
  EXPECT_THAT(ran, ElementsAre(0, 1, 2, 3, 4, 5, 6));
  EXPECT_THAT(times, ElementsAre(1, 1, 1, 1, 2, 2, 3));
  EXPECT_EQ(simulator.actions_run(), 7);
  EXPECT_EQ(simulator.now(), 3);
}

TEST(SimulatorTest, ManyTiesKeepTheirOrder) {
  Simulator simulator;
  std::vector<int> ran;
  for (int i = 0; i < 1000; ++i) simulator.at(i % 7, [&ran, i] { ran.push_back(i); });
  simulator.run();
  ASSERT_EQ(ran.size(), 1000u);
  for (size_t i = 1; i < ran.size(); ++i) {
    EXPECT_TRUE(ran[i - 1] % 7 < ran[i] % 7 ||
                (ran[i - 1] % 7 == ran[i] % 7 && ran[i - 1] < ran[i]))
        << i;
  }
}

TEST(SimulatorTest, RunUntilStopsThereAndGoesOn) {
  Simulator simulator;
  std::vector<double> ran;
  for (const double t : {1., 2., 3.}) simulator.at(t, [&] { ran.push_back(simulator.now()); });
  simulator.run_until(2);
  EXPECT_THAT(ran, ElementsAre(1, 2));
  simulator.run_until(2.5);
  EXPECT_EQ(simulator.now(), 2.5);
  simulator.run();
  EXPECT_THAT(ran, ElementsAre(1, 2, 3));
}

TEST(SimulatorTest, RefusesThePast) {
  Simulator simulator;
  simulator.run_until(5);
  EXPECT_EQ(error_of([&] { simulator.at(4, [] {}); }),
            "simulator: an action at 4 s, but it is 5 s already");
  EXPECT_EQ(error_of([&] { simulator.after(std::nan(""), [] {}); }),
            "simulator: an action at nan s, but it is 5 s already");
  EXPECT_EQ(error_of([&] { simulator.run_until(1); }),
            "simulator: run until 1 s, but it is 5 s already");
}

}  // namespace
}  // namespace ashlar::sim
