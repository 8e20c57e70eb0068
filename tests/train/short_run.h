// Four steps with two saves, for tests of what may go wrong meanwhile: afterwards nothing tells the
// run from one that was never disturbed.
#pragma once

#include "ashlar/base/file.h"
#include "ashlar/base/log.h"
#include "ashlar/train/checkpoint.h"
#include "tests/train/tiny_run.h"

#include <gtest/gtest.h>

#include <string>
#include <vector>

namespace ashlar::train::testing {

class ShortRunTest : public ::testing::Test {
 protected:
  ShortRunTest() {
    spdlog::set_level(spdlog::level::off);  // hundreds of starts
    run(short_run("straight"));
    log_ = learning_log(tiny_.path("straight"));
    learnt_ = learnt_bytes(tiny_.path("straight"));
  }
  ~ShortRunTest() override { spdlog::set_level(spdlog::level::info); }

  // Two saves; the second removes the first.
  TrainConfig short_run(const std::string& name) const {
    TrainConfig config = tiny_.config(name);
    config.train.steps = 4;
    config.checkpoint.every = 2;
    config.checkpoint.keep = 1;
    config.checkpoint.best = false;
    config.valid.every = 2;
    config.run.tensorboard = false;
    return config;
  }

  void expect_whole(const TrainConfig& config, const std::string& what) const {
    EXPECT_EQ(learning_log(config.run.dir), log_) << what;
    EXPECT_EQ(learnt_bytes(config.run.dir), learnt_) << what;
    EXPECT_EQ(list_checkpoints(config.run.dir), std::vector<int64_t>{4}) << what;
    EXPECT_EQ(read_file(join_path(config.run.dir, "latest")), "checkpoints/step-4\n") << what;
    for (const std::string& name : list_directory(checkpoints_folder(config.run.dir))) {
      EXPECT_EQ(name, "step-4") << what;  // no leftovers
    }
  }

  TinyRun tiny_;
  std::vector<std::string> log_;
  std::string learnt_;
};

}  // namespace ashlar::train::testing
