#include "ashlar/data/progress_bar.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::data {
namespace {

using ::testing::HasSubstr;
using ::testing::IsEmpty;

TEST(ProgressBarTest, SaysHowFarAndHowLong) {
  EXPECT_EQ(ProgressBar::text({6000000, 8000000, 1500000}, 3),
            "[###############.....]  75%  6.0 MB of 8.0 MB  1.5M tokens  2.0 MB/s  1.0s left");
  EXPECT_EQ(ProgressBar::text({0, 8000000, 0}, 0),
            "[....................]   0%  0 B of 8.0 MB  0 tokens");
  EXPECT_THAT(ProgressBar::text({0, 0, 0}, 0), HasSubstr("100%"));
}

TEST(ProgressBarTest, RedrawsALineAtATerminalAndEndsIt) {
  ManualClock clock;
  ::testing::internal::CaptureStderr();
  {
    ProgressBar bar("encode x", clock, true);
    bar.show({1, 4, 1});  // too early
    clock.advance(1);
    bar.show({2, 4, 2});
    bar.show({3, 4, 3});  // too soon after
    bar.show({4, 4, 4});  // the last is always shown
  }
  const std::string drawn = ::testing::internal::GetCapturedStderr();
  EXPECT_EQ(std::ranges::count(drawn, '\r'), 2);
  EXPECT_THAT(drawn, HasSubstr("encode x [##########..........]  50%"));
  EXPECT_THAT(drawn, HasSubstr("[####################] 100%"));
  EXPECT_TRUE(drawn.ends_with("\n"));
}

TEST(ProgressBarTest, IsSilentWhereAllIsDoneAtOnce) {
  ManualClock clock;
  ::testing::internal::CaptureStderr();
  ProgressBar("encode x", clock, true).show({4, 4, 4});
  EXPECT_THAT(::testing::internal::GetCapturedStderr(), IsEmpty());
}

}  // namespace
}  // namespace ashlar::data
