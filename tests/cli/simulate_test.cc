// `ashlar simulate`: known closed forms come out of the program, and a user's file is checked.
#include "ashlar/base/atomic_file.h"
#include "ashlar/base/file.h"
#include "tests/cli/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::cli {
namespace {

using ::testing::HasSubstr;

TEST(SimulateTest, HasTheClosedForms) {
  const Json plain = ashlar_json({"simulate", "1f1b", "--ranks", "4", "--microbatches", "8"});
  EXPECT_NEAR(plain["bubble"].get<double>(), 3.0 / 11, 1e-12);
  EXPECT_EQ(plain["peak_microbatches"], Json({4.0, 3.0, 2.0, 1.0}));
  const Json more = ashlar_json(
      {"simulate", "interleaved", "--ranks", "4", "--microbatches", "8", "--chunks", "2"});
  EXPECT_NEAR(more["bubble_over_ideal"].get<double>(), 3.0 / 16, 1e-12);
  const Json zero = ashlar_json({"simulate", "zb-h1", "--ranks", "4", "--microbatches", "8", "--f",
                                 "2", "--b", "3", "--w", "1"});
  EXPECT_NEAR(zero["idle"].get<double>(), 3 * (2 + 3 - 1), 1e-12);
}

TEST(SimulateTest, ReadsWhatItPrintsAndDraws) {
  const testing::TempDir folder;
  const std::string file = folder.path("mine.txt"), svg = folder.path("mine.svg");
  const Json made = ashlar_json({"simulate", "hanayo", "--microbatches", "4", "--waves", "2"});
  write_file(file, made["text"].get<std::string>());
  const Json read = ashlar_json({"simulate", file, "--svg", svg});
  EXPECT_EQ(read["makespan"], made["makespan"]);
  EXPECT_EQ(read["peak_microbatches"], made["peak_microbatches"]);
  EXPECT_THAT(read_file(svg), HasSubstr("max held"));
}

TEST(SimulateTest, RefusesWhatCannotRun) {
  EXPECT_THAT(complaint(ashlar({"simulate", "1f2b"}), 1), HasSubstr("1f1b"));
  EXPECT_THAT(complaint(ashlar({"simulate", "interleaved", "--microbatches", "6"}), 1),
              HasSubstr("4"));
}

}  // namespace
}  // namespace ashlar::cli
