// The log of steps: what stays of it when a run goes on.
#include "ashlar/train/metrics_log.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/file.h"
#include "tests/base/messages.h"
#include "tests/train/tiny_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::train {
namespace {

using ashlar::testing::error_of;
using ashlar::testing::TempDir;
using namespace testing;  // NOLINT: tiny runs

std::string line(int64_t step) {
  StepMetrics metrics;
  metrics.step = step;
  metrics.loss = 1.0 / 3 + static_cast<double>(step);
  return metrics.to_json() + "\n";
}

TEST(MetricsLogTest, LinesPastTheStepAndATornOneAreCut) {
  const TempDir folder;
  const std::string path = folder.path("metrics.jsonl");
  const std::string torn = line(4).substr(0, 20);
  write_file(path, line(1) + line(2) + line(3) + torn);
  { const StepLog log(path, 3); }
  EXPECT_EQ(read_file(path), line(1) + line(2) + line(3));
  StepLog log(path, 1);
  EXPECT_EQ(read_file(path), line(1));
  StepMetrics metrics;
  metrics.step = 2;
  metrics.loss = 1.0 / 3 + 2;
  log.write(metrics.to_json());
  EXPECT_EQ(read_file(path), line(1) + line(2));  // at once, for those who watch
  { const StepLog fresh(path, 0); }
  EXPECT_EQ(read_file(path), "");
}

TEST(MetricsLogTest, NumbersComeBackToTheLastBit) {
  const TempDir folder;
  const std::string path = folder.path("metrics.jsonl");
  write_file(path, line(1) + line(2));
  const auto steps = read_metrics(path);
  ASSERT_EQ(steps.size(), 2u);
  EXPECT_EQ(steps[1].loss, 1.0 / 3 + 2);
  write_file(path, line(1) + "{\"step\": 2}\n");
  EXPECT_THAT(error_of([&] { read_metrics(path); }),
              ::testing::StartsWith(path + ":2: not a step of a run: "));
}

TEST(MetricsLogTest, AResumedRunReadsAsIfItHadNeverStopped) {
  const TinyRun tiny;
  TrainConfig config = tiny.config("run");
  config.sample.every = 1;
  config.sample.tokens = 2;
  config.sample.prompt = "the";
  run(config);
  const auto log = learning_log(config.run.dir);
  const std::string samples = read_file(tiny.path("run/samples.jsonl"));
  remove_tree(tiny.path("run/checkpoints/step-10"));  // died before it was published
  write_file(tiny.path("run/metrics.jsonl"),
             read_file(tiny.path("run/metrics.jsonl")) + line(11).substr(0, 15));
  write_file(tiny.path("run/samples.jsonl"), samples + "{\"step\":1");
  EXPECT_EQ(resume(config).first_step, 6);
  EXPECT_EQ(learning_log(config.run.dir), log);
  EXPECT_EQ(read_file(tiny.path("run/samples.jsonl")), samples);
}

}  // namespace
}  // namespace ashlar::train
