// What is seen of a model that loads.
#include "ashlar/cli/serve_loading.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class ServeLoadingTest : public ::testing::Test {
 protected:
  static serve::HttpOptions any_port() {
    serve::HttpOptions options;
    options.port = 0;
    return options;
  }

  ManualClock clock_;
  serve::LoadingBackend backend_{"model"};
  serve::HttpServer server_{any_port(), backend_, clock_};
  ServeLoading loading_{backend_, server_, clock_, 1'000'000};
};

TEST_F(ServeLoadingTest, HealthTellsStageAndPart) {
  loading_("packing weights", 0.25);
  EXPECT_FALSE(backend_.health().ready);
  EXPECT_EQ(backend_.health().stage, "packing weights");
  EXPECT_EQ(backend_.health().fraction, 0.25);
}

TEST_F(ServeLoadingTest, AStageThatTakesTimeHasALine) {
  ::testing::internal::CaptureStderr();
  loading_("reading weights", 0);
  clock_.advance(0.1);
  loading_("reading weights", 1);
  loading_("packing weights", 0);
  for (int i = 1; i <= 5; ++i) {
    clock_.advance(1);
    loading_("packing weights", 0.1 * i);
  }
  const std::string shown = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(shown, HasSubstr("packing weights"));
  EXPECT_THAT(shown, HasSubstr("byte=200000/1000000"));
  EXPECT_THAT(shown, Not(HasSubstr("reading weights"))) << "it was quick";
}

TEST_F(ServeLoadingTest, AServerThatStopsEndsIt) {
  server_.start();
  EXPECT_NO_THROW(loading_("reading weights", 0));
  server_.drain();
  server_.wait();
  EXPECT_THROW(loading_("reading weights", 0.5), LoadingStopped);
}

}  // namespace
}  // namespace ashlar::cli
