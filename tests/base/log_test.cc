#include "ashlar/base/log.h"

#include "ashlar/base/error.h"
#include "tests/base/messages.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <thread>

namespace ashlar {
namespace {

using ashlar::testing::error_of;
using ::testing::HasSubstr;
using ::testing::MatchesRegex;
using ::testing::Not;

// What `body` logs to stderr.
template <typename F>
std::string logged(std::string_view level, int rank, F&& body) {
  ::testing::internal::CaptureStderr();
  log::init(level, rank);
  body();
  std::string text = ::testing::internal::GetCapturedStderr();
  log::init("info");
  return text;
}

TEST(LogTest, OneLineAnEventOnStderr) {
  ::testing::internal::CaptureStdout();
  const std::string text = logged("info", -1, [] { log::info("step={} loss={:.2f}", 3, 2.5); });
  EXPECT_EQ(::testing::internal::GetCapturedStdout(), "");
  EXPECT_THAT(text, MatchesRegex("[0-9:.]+ I step=3 loss=2.50\n"));
}

TEST(LogTest, TheRankComesFirst) {
  EXPECT_THAT(logged("info", 2, [] { log::warn("x=1"); }), MatchesRegex("rank=2 [0-9:.]+ W x=1\n"));
}

TEST(LogTest, AQuietThreadWarnsOnly) {
  const std::string text = logged("info", -1, [] {
    std::jthread([] {
      log::quiet_this_thread();
      log::info("i=1");
      log::warn("w=1");
    }).join();
    log::info("i=2");
  });
  EXPECT_THAT(text, MatchesRegex("[0-9:.]+ W w=1\n[0-9:.]+ I i=2\n"));
}

TEST(LogTest, Levels) {
  const auto all = [] {
    log::debug("d=1");
    log::info("i=1");
    log::warn("w=1");
    log::error("e=1");
  };
  EXPECT_THAT(logged("debug", -1, all), HasSubstr("d=1"));
  EXPECT_THAT(logged("info", -1, all), Not(HasSubstr("d=1")));
  EXPECT_THAT(logged("error", -1, all), MatchesRegex("[0-9:.]+ E e=1\n"));
  EXPECT_EQ(logged("off", -1, all), "");
  EXPECT_EQ(error_of([] { log::init("loud"); }),
            "log level 'loud' is not one of debug, info, warn, error, off");
}

}  // namespace
}  // namespace ashlar
