#include "ashlar/base/error.h"

#include <gtest/gtest.h>

namespace ashlar {
namespace {

TEST(ErrorTest, CheckThrowsOnlyWhenBroken) {
  int evaluated = 0;
  const auto count = [&] { return ++evaluated; };
  ASHLAR_CHECK(true, "never formatted {}", count());
  EXPECT_EQ(evaluated, 0);
  try {
    ASHLAR_CHECK(1 + 1 == 3, "matmul: inner dims differ: {} vs {}", 2, 3);
    FAIL();
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "matmul: inner dims differ: 2 vs 3");
    EXPECT_EQ(error.exit_code(), 1);
  }
}

TEST(ErrorTest, CheckIsOneStatement) {
  bool reached = false;
  if (false)
    ASHLAR_CHECK(false, "not reached");
  else
    reached = true;
  EXPECT_TRUE(reached);
}

TEST(ErrorTest, UsageErrorsAreErrorsWithCode2) {
  try {
    fail_usage("flag --{}: unknown", "x");
  } catch (const Error& error) {
    EXPECT_STREQ(error.what(), "flag --x: unknown");
    EXPECT_EQ(error.exit_code(), 2);
  }
  EXPECT_THROW(fail("{}", 1), std::runtime_error);
}

TEST(ErrorTest, DcheckAbortsInDebugBuildsAndVanishesInRelease) {
  int evaluated = 0;
  [[maybe_unused]] const auto broken = [&] {
    ++evaluated;
    return false;
  };
#ifdef NDEBUG
  ASHLAR_DCHECK(broken());
  EXPECT_EQ(evaluated, 0);
#else
  EXPECT_DEATH(ASHLAR_DCHECK(broken()),
               "internal invariant broken: broken\\(\\) at .*error_test.cc");
#endif
}

}  // namespace
}  // namespace ashlar
