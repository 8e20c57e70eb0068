// `ashlar plan`: the same settings as `ashlar train`, and nothing is run.
#include "ashlar/base/file.h"
#include "tests/cli/train_verb.h"

#include <gmock/gmock.h>

namespace ashlar::cli {
namespace {

using ::testing::HasSubstr;
using ::testing::Not;

class PlanTest : public TrainVerbTest {
 protected:
  std::vector<std::string> plan(const std::vector<std::string>& more) const {
    std::vector<std::string> words = command(more);
    words[0] = "plan";
    return words;
  }
};

TEST_F(PlanTest, SaysWhatTrainingThenTakes) {
  const std::vector<std::string> layout = {"mesh.data=2", "mesh.tensor=2", "parallel.zero=1"};
  const Json planned = ashlar_json(plan(layout));
  EXPECT_FALSE(is_directory(run_dir()));
  ASSERT_EQ(planned["ranks"].size(), 4);
  EXPECT_GT(planned["step_s"].get<double>(), 0);
  EXPECT_GT(planned["ranks"][0]["sent"]["data"]["bytes"].get<int64_t>(), 0);
  EXPECT_GT(planned["ranks"][3]["sent"]["tensor"]["bytes"].get<int64_t>(), 0);
  EXPECT_GT(planned["rates"]["matrix_flops"].get<double>(), 1e8);
  std::vector<std::string> words = command(layout);
  words.insert(words.end(), {"--ranks", "4"});
  EXPECT_EQ(ashlar_json(words)["planned_bytes"], planned["ranks"][0]["planned_bytes"]);
}

TEST_F(PlanTest, ReadsAsTables) {
  const std::string text = ashlar(plan({"mesh.data=2"})).out;
  for (const char* part : {"memory of a rank", "parameters", "gradients", "optimizers",
                           "activations", "total", "0,1", "FLOPs", "sent: data", "predicted:"}) {
    EXPECT_THAT(text, HasSubstr(part));
  }
}

TEST_F(PlanTest, ShowsPlacements) {
  const std::vector<std::string> words = {"mesh.tensor=2", "--placements", "layers.0.*"};
  const std::string text = ashlar(plan(words)).out;
  EXPECT_THAT(text, HasSubstr("tensor=S(0)"));
  EXPECT_THAT(text, HasSubstr("rank 1"));
  EXPECT_THAT(text, Not(HasSubstr("memory")));
  EXPECT_THAT(complaint(ashlar(plan({"--placements", "nothing"})), 2),
              HasSubstr("no Variable's name is like 'nothing'"));
}

TEST_F(PlanTest, Draws) {
  const std::string file = folder_.path("plan.svg");
  EXPECT_EQ(ashlar(plan({"train.microbatch=1", "--svg", file})).exit_code, 0);
  EXPECT_THAT(read_file(file), HasSubstr("F forward"));
  EXPECT_EQ(ashlar(plan({"mesh.tensor=2", "--placements", "layers.0.*", "--svg", file})).exit_code,
            0);
  EXPECT_THAT(read_file(file), HasSubstr("rank 1"));
}

// Without a tokenizer or data: sizes are enough.
TEST_F(PlanTest, NeedsNoDataForANewModel) {
  const Json planned = ashlar_json({"plan", "model.vocab=1000", "model.width=64", "model.heads=2"});
  EXPECT_EQ(planned["ranks"].size(), 1);
  EXPECT_THAT(complaint(ashlar({"plan", "model.width=64", "model.heads=2"}), 2),
              HasSubstr("data.tokenizer"));
}

TEST_F(PlanTest, RefusesWhatTrainingRefuses) {
  EXPECT_THAT(complaint(ashlar(plan({"mesh.tensor=3"})), 2), HasSubstr("config mesh.tensor"));
  EXPECT_THAT(complaint(ashlar({"plan"}), 2), HasSubstr("no settings"));
}

}  // namespace
}  // namespace ashlar::cli
