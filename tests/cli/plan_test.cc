// `ashlar plan`: the same settings as `ashlar train`, and nothing is run.
#include "ashlar/base/file.h"
#include "tests/cli/train_verb.h"

#include <gmock/gmock.h>

#include <algorithm>

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

// A cap on what a rank may hold refuses the plain run and lets one pass that shares out.
TEST_F(PlanTest, KeepsToTheMemoryOfARank) {
  const auto bytes = [&](const std::vector<std::string>& layout) {
    int64_t most = 0;
    const Json planned = ashlar_json(plan(layout));
    for (const Json& rank : planned["ranks"]) {
      most = std::max(most, rank["planned_bytes"].get<int64_t>());
    }
    return most;
  };
  const int64_t shared = bytes({"mesh.data=2", "parallel.zero=1"});
  ASSERT_LT(shared, bytes({"mesh.data=2"}));
  const std::string cap = "run.memory=" + std::to_string(shared);
  for (const char* verb : {"plan", "train"}) {
    for (const int zero : {0, 1}) {
      std::vector<std::string> words =
          command({"mesh.data=2", "train.steps=2", cap, "parallel.zero=" + std::to_string(zero)});
      words[0] = verb;
      if (words[0] == "train") words.insert(words.end(), {"--ranks", "2"});
      const testing::ProgramResult run = ashlar(words);
      EXPECT_EQ(run.exit_code, zero == 0 ? 2 : 0) << run.err;
      if (zero != 0) continue;
      EXPECT_THAT(run.err, HasSubstr("config run.memory: rank 0: "));
      EXPECT_FALSE(is_directory(run_dir()));
    }
  }
}

// Nodes as machines of their own, with slow links between them: in two levels, and in one.
TEST_F(PlanTest, SaysWhatLinksBetweenNodesTake) {
  const std::vector<std::string> words =
      plan({"mesh.data=4", "train.batch=4", "comm.node_ranks=2", "--node-link", "1e6,1e-4"});
  const Json planned = ashlar_json(words);
  EXPECT_EQ(planned["machines"], 2);
  EXPECT_LT(planned["step_s"].get<double>(), planned["one_level_step_s"].get<double>());
  EXPECT_THAT(ashlar(words).out, HasSubstr("in two levels; in one: "));
  EXPECT_THAT(complaint(ashlar(plan({"mesh.data=4", "train.batch=4", "--node-link", "1e6"})), 2),
              HasSubstr("comm.node_ranks is 0"));
  for (const char* link : {"fast", "1e6,", "-1", "1e6,-1", "1e6,1,1"}) {
    EXPECT_THAT(complaint(ashlar(plan({"mesh.data=4", "train.batch=4", "comm.node_ranks=2",
                                       std::string("--node-link=") + link})),
                          2),
                HasSubstr("is not RATE[,LATENCY]"));
  }
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
  EXPECT_THAT(text, HasSubstr("layers.0.mlp.down"));  // what is computed, and how it is summed
  EXPECT_THAT(text, HasSubstr("all_reduce"));
  EXPECT_THAT(text, HasSubstr("a term of all"));
  EXPECT_THAT(text, Not(HasSubstr("memory")));
  EXPECT_THAT(complaint(ashlar(plan({"--placements", "nothing"})), 2),
              HasSubstr("no value's name is like 'nothing'"));
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
