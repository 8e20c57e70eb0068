#include "ashlar/base/progress.h"

#include "ashlar/base/log.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdlib.h>

#include <algorithm>
#include <thread>

namespace ashlar {
namespace {

using ::testing::ElementsAre;
using ::testing::EndsWith;
using ::testing::HasSubstr;
using ::testing::Not;
using ::testing::SizeIs;
using ::testing::StartsWith;

constexpr const char* kErase = "\r\x1b[K";

// Collects what is written; columns is the terminal's width.
struct Screen {
  std::vector<std::string> writes;
  int columns = 100;

  ProgressSink sink(bool terminal) {
    return {.write = [this](std::string_view text) { writes.emplace_back(text); },
            .width = [this] { return columns; },
            .terminal = terminal};
  }
};

TEST(ProgressTest, TheLiveLine) {
  ManualClock clock;
  Screen screen;
  Progress progress("train", "step", 1000, clock, screen.sink(true));
  clock.advance(10);
  progress.update(250, {{"loss", "2.31"}, {"MFU", "41%"}});
  EXPECT_THAT(screen.writes,
              ElementsAre(std::string(kErase) +
                          "train #######-----------------------  25%  250/1000 steps  ETA 30s  "
                          "loss 2.31  MFU 41%  25 steps/s"));
}

// A bar, the count, the time left and what the caller put first fit into the usual 80 columns; what
// does not fit is left out whole.
TEST(ProgressTest, ANarrowLineKeepsWhatMattersMost) {
  ManualClock clock;
  Screen screen;
  Progress progress("train", "step", 2000, clock, screen.sink(true));
  const auto line_at = [&](int columns) {
    screen.columns = columns;
    clock.advance(10);
    progress.update(
        500, {{"loss", "2.7637"}, {"tokens/s", "65895"}, {"mfu", "55.5%"}, {"valid", "3.8169"}});
    return screen.writes.back().substr(std::string_view(kErase).size());
  };
  EXPECT_THAT(line_at(80), ::testing::MatchesRegex("train ##*--* 500/2000  ETA [0-9ms ]*  loss "
                                                   "2.7637  tokens/s 65895  mfu 55.5%"));
  EXPECT_THAT(line_at(50), ::testing::MatchesRegex("train ##*--* 500/2000  ETA [0-9ms ]*  loss "
                                                   "2.7637"));
  EXPECT_THAT(line_at(120), ::testing::ContainsRegex("  valid 3.8169  [0-9.]* steps/s$"));
}

TEST(ProgressTest, AtMostTenRedrawsASecond) {
  ManualClock clock;
  Screen screen;
  Progress progress("train", "step", 10000, clock, screen.sink(true));
  for (int step = 1; step <= 10000; ++step) {
    clock.advance(0.001);
    progress.update(step);
  }
  EXPECT_GE(screen.writes.size(), 90u);
  EXPECT_LE(screen.writes.size(), 101u);
}

TEST(ProgressTest, NeverWiderThanTheTerminal) {
  ManualClock clock;
  for (const bool utf8 : {false, true}) {
    Screen screen;
    ProgressSink sink = screen.sink(true);
    sink.utf8 = utf8;
    Progress progress("train", "step", 1000, clock, sink);
    for (screen.columns = 0; screen.columns < 150; ++screen.columns) {
      clock.advance(1);
      progress.update(screen.columns * 5, {{"loss", "2.31"}, {"µ", "1"}});
      const std::string line = screen.writes.back().substr(std::string_view(kErase).size());
      const auto columns = std::ranges::count_if(line, [](char c) { return (c & 0xc0) != 0x80; });
      ASSERT_LE(columns, std::max(0, screen.columns - 1)) << line;
      if (screen.columns > 110) {
        ASSERT_THAT(line, HasSubstr(utf8 ? "█" : "#"));
      }
      if (screen.columns > 10) {
        ASSERT_THAT(line, StartsWith("train"));
      }
    }
  }
}

TEST(ProgressTest, ColorsSurroundTheBarOnly) {
  ManualClock clock;
  Screen screen;
  ProgressSink sink = screen.sink(true);
  sink.color = true;
  Progress progress("copy", "file", 2, clock, sink);
  progress.update(1);
  EXPECT_THAT(screen.writes.back(),
              EndsWith("copy \x1b[32m###############\x1b[0m---------------  50%  1/2 files"));
  clock.advance(1);
  progress.update(2);
  EXPECT_THAT(screen.writes.back(),
              HasSubstr("\x1b[32m##############################\x1b[0m 100%"));
}

TEST(ProgressTest, FinishingTellsTheTimeItTook) {
  ManualClock clock;
  Screen screen;
  {
    Progress progress("train", "step", 100, clock, screen.sink(true));
    clock.advance(192);
    progress.update(100);
    progress.finish();
    progress.finish();
  }
  EXPECT_THAT(screen.writes.back(), EndsWith("100%  100/100 steps  in 3m 12s  1.9s/step\n"));
  EXPECT_THAT(screen.writes, SizeIs(2));
}

TEST(ProgressTest, AnAbandonedLineIsClosed) {
  ManualClock clock;
  Screen screen;
  { Progress(std::string("train"), "step", 100, clock, screen.sink(true)).update(3); }
  EXPECT_EQ(screen.writes.back(), "\n");
}

TEST(ProgressTest, AResumedTaskIsNotFasterForIt) {
  ManualClock clock;
  Screen screen;
  Progress progress("train", "step", 1000, clock, screen.sink(true), 900);
  clock.advance(10);
  progress.update(910);
  EXPECT_THAT(screen.writes.back(), HasSubstr("  ETA 1m 30s  1 steps/s"));
}

TEST(ProgressTest, TheRateFollowsRecentSpeed) {
  ManualClock clock;
  Screen screen;
  Progress progress("train", "step", 100000, clock, screen.sink(true));
  int64_t done = 0;
  for (int i = 0; i < 100; ++i, clock.advance(1)) progress.update(done += 100);
  for (int i = 0; i < 100; ++i, clock.advance(1)) progress.update(done += 10);
  EXPECT_THAT(screen.writes.back(), HasSubstr("10.1 steps/s"));
}

TEST(ProgressTest, SlowAndUnknown) {
  ManualClock clock;
  Screen screen;
  Progress slow("train", "step", 10, clock, screen.sink(true));
  clock.advance(25);
  slow.update(10);
  EXPECT_THAT(screen.writes.back(), HasSubstr("2.5s/step"));
  Progress unknown("read", "line", 0, clock, screen.sink(true));
  clock.advance(2);
  unknown.update(3000);
  EXPECT_EQ(screen.writes.back(), std::string(kErase) + "read 3000 lines  1.5k lines/s");
}

TEST(ProgressTest, PlainLinesAtGrowingIntervals) {
  ManualClock clock;
  Screen screen;
  Progress progress("train", "step", 28800, clock, screen.sink(false));
  std::vector<double> times;
  for (int step = 1; step <= 28800; ++step) {
    const size_t before = screen.writes.size();
    clock.advance(0.125);
    progress.update(step, {{"loss", "2.31"}});
    if (screen.writes.size() > before) times.push_back(clock.now());
  }
  progress.finish();
  EXPECT_EQ(screen.writes[0], "train step=8/28800 loss=2.31 steps_per_s=8 left=59m59s\n");
  EXPECT_EQ(screen.writes.back(), "train step=28800/28800 loss=2.31 steps_per_s=8 took=1h00m\n");
  EXPECT_LT(times.size(), 75u);  // an hour
  for (size_t i = 2; i < times.size(); ++i) {
    EXPECT_GE(times[i] - times[i - 1], times[i - 1] - times[i - 2] - 0.2);
    EXPECT_LE(times[i] - times[i - 1], 60.2);
  }
  for (const std::string& line : screen.writes) EXPECT_THAT(line, Not(HasSubstr("\x1b")));
}

// A log line while the live line stands: the line goes, the log line comes, the line is back.
TEST(ProgressTest, LogLinesDoNotTearIt) {
  ManualClock clock;
  ::testing::internal::CaptureStderr();
  log::init("info");
  {
    ProgressSink sink{
        .write = [](std::string_view text) { std::fwrite(text.data(), 1, text.size(), stderr); },
        .width = [] { return 60; },
        .terminal = true};
    Progress progress("train", "step", 100, clock, sink);
    log::info("before=1");
    progress.update(1);
    log::info("during=1");
    std::thread other([] {
      for (int i = 0; i < 100; ++i) log::info("thread={}", i);
    });
    for (int step = 2; step <= 100; ++step, clock.advance(1)) progress.update(step);
    other.join();
    progress.finish();
    log::info("after=1");
  }
  const std::string text = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(text, HasSubstr(" I before=1\n"));
  EXPECT_THAT(text, HasSubstr("1/100 steps" + std::string(kErase)));
  EXPECT_THAT(text, HasSubstr("during=1\ntrain "));
  EXPECT_THAT(text, EndsWith("after=1\n"));
  // Nothing but a whole log line lies between an erased line and the next newline.
  size_t lines = 0;
  for (size_t at = 0; (at = text.find(" I thread=", at)) != std::string::npos; ++at, ++lines) {
    const size_t start = text.rfind(kErase, at) + std::string_view(kErase).size();
    EXPECT_EQ(at - start, std::string_view("12:34:56.789").size());
  }
  EXPECT_EQ(lines, 100u);
}

TEST(ProgressTest, APipeIsNoTerminal) {
  ::setenv("COLUMNS", "77", 1);
  ::testing::internal::CaptureStderr();
  const ProgressSink sink = stderr_progress_sink();
  EXPECT_EQ(sink.width(), 77);
  sink.write("text");
  EXPECT_EQ(::testing::internal::GetCapturedStderr(), "text");
  ::unsetenv("COLUMNS");
  EXPECT_FALSE(sink.terminal);
  EXPECT_FALSE(sink.color);
}

}  // namespace
}  // namespace ashlar
