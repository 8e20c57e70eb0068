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

TEST(EnvTest, NamesAreThoseThatBeginSo) {
  ::setenv("ASHLAR_TEST_ENV_B", "1", 1);
  ::setenv("ASHLAR_TEST_ENV_A", "x=y", 1);
  const std::vector<std::string> wanted = {"ASHLAR_TEST_ENV_A", "ASHLAR_TEST_ENV_B"};
  EXPECT_EQ(env_names("ASHLAR_TEST_ENV_"), wanted);
  ::unsetenv("ASHLAR_TEST_ENV_A");
  ::unsetenv("ASHLAR_TEST_ENV_B");
  EXPECT_TRUE(env_names("ASHLAR_TEST_ENV_").empty());
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
