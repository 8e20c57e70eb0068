// The schedule that a configuration names, and what is said of one that cannot be.
#include "ashlar/train/pipeline_schedule.h"

#include "ashlar/base/atomic_file.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::train {
namespace {

using ashlar::testing::error_of;
using ashlar::testing::TempDir;
using ::testing::HasSubstr;

TrainConfig config_of(const std::string& schedule, int64_t pipe, int64_t batch) {
  TrainConfig config;
  config.data.train = {"text"};
  config.train.batch = batch;
  config.train.microbatch = 1;
  config.mesh.pipe = pipe;
  config.parallel.schedule = schedule;
  return config;
}

std::string refused(const TrainConfig& config) {
  return error_of([&] { pipeline_schedule(config); });
}

TEST(PipelineSchedule, OfAGenerator) {
  const auto schedule = pipeline_schedule(config_of("interleaved", 2, 4));
  EXPECT_EQ(schedule.stages.stages(), 4);
  EXPECT_TRUE(schedule.has_messages());
  TrainConfig config = config_of("interleaved", 2, 8);
  config.mesh.data = 2;
  config.parallel.chunks = 3;
  EXPECT_EQ(pipeline_schedule(config).stages.stages(), 6);
  EXPECT_EQ(pipeline_schedule(config).microbatches, 4);
  config.parallel.schedule = "hanayo";
  config.parallel.chunks = 4;
  EXPECT_EQ(pipeline_schedule(config).stages.stages(), 8);
}

TEST(PipelineSchedule, RefusesWhatDoesNotFit) {
  EXPECT_EQ(refused(config_of("interleaved", 4, 6)),
            "config parallel.schedule: schedule interleaved: 6 microbatches are no multiple of 4 "
            "ranks; 4 or 8 are; train.batch=6 on 1 data ranks with train.microbatch=1 gives 6 a "
            "step");
  EXPECT_THAT(refused(config_of("chimera", 3, 4)), HasSubstr("3 ranks do not pair up"));
  EXPECT_EQ(refused(config_of("zbh1", 2, 4)),
            "config parallel.schedule: 'zbh1' is no schedule and no file; did you mean zb-h1?");
  TrainConfig config = config_of("1f1b", 2, 4);
  config.parallel.chunks = 2;
  EXPECT_EQ(refused(config),
            "config parallel.chunks: 2, but 1f1b has 1 stages a rank; leave it out, or use "
            "interleaved or hanayo");
  config.parallel = {.schedule = "hanayo", .chunks = 3};
  EXPECT_EQ(refused(config),
            "config parallel.chunks: 3 stages a rank are no waves of two; 2 or 4 are");
}

class ScheduleFile : public ::testing::Test {
 protected:
  std::string refused(const std::string& text, int64_t batch = 2) {
    write_file(path_, text);
    return train::refused(config_of(path_, 2, batch));
  }

  TempDir folder_;
  std::string path_ = folder_.path("mine.txt");
};

TEST_F(ScheduleFile, IsReadAndChecked) {
  const std::string text =
      "schedule mine\nmicrobatches 2\nstages 0 1\nrank 0: F0 F1 BW0 BW1\nrank 1: F0 BW0 F1 BW1\n";
  EXPECT_EQ(refused(text), "(no error)");
  EXPECT_EQ(pipeline_schedule(config_of(path_, 2, 2)).name, "mine");
  EXPECT_THAT(refused(text, 4), HasSubstr("mine is for 2 microbatches, but train.batch=4"));
}

TEST_F(ScheduleFile, AWrongOneIsRefusedWithItsLine) {
  const std::string head = "schedule mine  # of two\nmicrobatches 2\nstages 0 1\n";
  const auto here = [&](const std::string& rest) {
    return "config parallel.schedule: " + path_ + ":" + rest;
  };
  EXPECT_THAT(refused(head + "rank 0: F0 FF1\n"), HasSubstr(here("4:12: 'FF1' is no instruction")));
  EXPECT_EQ(refused(head + "rank 0: F0 F1 BW0 BW1\n\nrank 1: F0 BW0 BW1 F1\n"),
            here("6:16: schedule mine: rank 1, instruction 2 (BW1): the forward of microbatch 1 on "
                 "chunk 0 has not run before it"));
  EXPECT_EQ(refused(head + "rank 0: F0 F1 BW0 BW1\nrank 1: F0 BW0 F1\n"),
            here("5:1: schedule mine: rank 1: microbatch 1 has no input gradient on chunk 0 (stage "
                 "1)"));
  EXPECT_THAT(refused(head + "rank 0: F0 BW0 F1 BW1\nrank 1: F1 BW1 F0 BW0\n"),
              HasSubstr(here(" schedule mine gets stuck")));
}

}  // namespace
}  // namespace ashlar::train
