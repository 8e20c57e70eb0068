#include "ashlar/base/env.h"

#include "ashlar/base/clock.h"
#include "ashlar/base/version.h"

#include <gtest/gtest.h>

#include <stdlib.h>

namespace ashlar {
namespace {

TEST(EnvTest, UnsetAndEmptyAreTheSame) {
  ::setenv("ASHLAR_TEST_ENV", "value", 1);
  EXPECT_EQ(env("ASHLAR_TEST_ENV"), "value");
  ::setenv("ASHLAR_TEST_ENV", "", 1);
  EXPECT_EQ(env("ASHLAR_TEST_ENV"), std::nullopt);
  ::unsetenv("ASHLAR_TEST_ENV");
  EXPECT_EQ(env("ASHLAR_TEST_ENV"), std::nullopt);
}

TEST(ClockTest, Clocks) {
  const SteadyClock steady;
  const double before = steady.now();
  EXPECT_GE(steady.now(), before);
  ManualClock manual;
  manual.set(5);
  manual.advance(0.25);
  EXPECT_EQ(manual.now(), 5.25);
}

TEST(VersionTest, HasThreeNumbers) {
  int dots = 0;
  for (const char c : version()) dots += c == '.';
  EXPECT_EQ(dots, 2);
}

}  // namespace
}  // namespace ashlar
