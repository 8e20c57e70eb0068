// The memory that a run says it will take is what its process takes.
#include "tests/base/heap_calls.h"
#include "tests/cli/train_verb.h"

#include <gmock/gmock.h>

#include <cmath>
#include <cstdlib>

namespace ashlar::cli {
namespace {

class TrainMemoryTest : public TrainVerbTest {
 protected:
  // Validation, samples, and a save while training goes on, of a model of about 14 million weights.
  Json train_large(std::vector<std::string> more) const {
    std::vector<std::string> words = {
        "model.width=512", "model.layers=4",     "model.heads=8",         "train.seq=64",
        "train.steps=3",   "checkpoint.every=2", "valid.every=2",         "valid.batches=1",
        "sample.every=2",  "sample.tokens=4",    "data.valid=" + corpus()};
    words.insert(words.end(), more.begin(), more.end());
    return ashlar_json(command(words));
  }

  static void expect_planned(const Json& run) {
    const auto planned = run["planned_bytes"].get<int64_t>();
    EXPECT_GT(planned, int64_t{300} << 20);
    EXPECT_LE(std::abs(run["peak_bytes"].get<int64_t>() - planned),
              planned / 20 + (int64_t{64} << 20))
        << run;
  }
};

TEST_F(TrainMemoryTest, TheResidentPeakIsThePlan) {
  if (!testing::counts_heap_calls()) GTEST_SKIP() << "the sanitizer has a malloc of its own";
  const Json llama = train_large({});
  expect_planned(llama);
  std::istringstream lines(read_file(run_dir() + "/record.jsonl"));
  std::string line;
  std::getline(lines, line);
  const Json record = Json::parse(line);
  EXPECT_EQ(record["planned_bytes"], llama["planned_bytes"]);
  int64_t sum = 0;
  for (const auto& [part, bytes] : record["memory"].items()) sum += bytes.get<int64_t>();
  EXPECT_EQ(sum, llama["planned_bytes"]);
  for (const char* part : {"parameters", "gradients", "optimizers", "activations", "validation",
                           "sampling", "checkpoint", "batches"}) {
    EXPECT_GT(record["memory"].value(part, int64_t{0}), 0) << part;
  }
  // Reading what it goes on from adds nothing.
  expect_planned(train_large({"--resume", "train.steps=5"}));
}

// Its files hold transposed matrices laid end to end, and bf16 needs copies of the weights.
TEST_F(TrainMemoryTest, SoItIsForAnotherFamilyAndDtype) {
  if (!testing::counts_heap_calls()) GTEST_SKIP() << "the sanitizer has a malloc of its own";
  expect_planned(train_large({"model.family=gpt2"}));
  const std::string model = run_dir() + "/checkpoints/step-3";
  expect_planned(train_large({"model.from=" + model, "train.dtype=bf16", "train.steps=2",
                              "run.dir=" + folder_.path("tuned")}));
}

}  // namespace
}  // namespace ashlar::cli
