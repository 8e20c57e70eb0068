// train, report and eval as a user runs them. What training computes is tested in tests/train.
#include "tests/base/paths.h"
#include "tests/cli/train_verb.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cmath>

namespace ashlar::cli {
namespace {

using ::testing::AllOf;
using ::testing::HasSubstr;

TEST_F(TrainVerbTest, TrainsAModelThatOtherVerbsTake) {
  const Json json = ashlar_json(command());
  EXPECT_EQ(json["last_step"], 6);
  EXPECT_EQ(json["interrupted"], false);
  ASSERT_EQ(metrics().size(), 6u);
  EXPECT_EQ(metrics().back()["loss"], json["loss"]);
  EXPECT_LT(json["loss"], metrics().front()["loss"]);

  const std::string model = json["checkpoint"];
  EXPECT_EQ(ashlar_json({"inspect", model})["layers"], 1);
  EXPECT_EQ(ashlar_json({"run", model, "--ids", "1,2", "--max-new", "3"})["ids"].size(), 3u);
  const Json eval = ashlar_json({"eval", model, "--data", corpus()});
  EXPECT_NEAR(std::log(eval["perplexity"].get<double>()), eval["loss"].get<double>(), 1e-6);
  EXPECT_GT(eval["bits_per_byte"], 0);

  const Json report = ashlar_json({"report", run_dir()});
  EXPECT_THAT(read_file(report["file"]), AllOf(HasSubstr("<svg"), HasSubstr("steps = 6")));

  EXPECT_THAT(complaint(ashlar({"eval", run_dir(), "--data", corpus()}), 1),
              HasSubstr("has no config.json; wanted a Hugging Face folder; the newest of this run "
                        "is " +
                        model));
}

TEST_F(TrainVerbTest, ResumeGoesOnAsIfNothingHadHappened) {
  ashlar_json(command({"checkpoint.every=3"}));
  const std::vector<Json> whole = metrics();
  remove_tree(run_dir() + "/checkpoints/step-6");
  const Json resumed = ashlar_json(command({"checkpoint.every=3", "--resume"}));
  EXPECT_EQ(resumed["first_step"], 4);
  ASSERT_EQ(metrics().size(), whole.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    EXPECT_EQ(metrics()[i]["loss"], whole[i]["loss"]);
    EXPECT_EQ(metrics()[i]["grad_norm"], whole[i]["grad_norm"]);
  }
}

TEST_F(TrainVerbTest, CtrlCSavesAndExits130) {
  const std::string line = fmt::format(
      "set -m; \"$0\" \"$@\" & pid=$!; while ! grep -qs step {}/metrics.jsonl; do sleep 0.02; "
      "done; "
      "kill -INT $pid; wait $pid",
      run_dir());
  std::vector<std::string> words = {"bash", "-c", line, ashlar_binary()};
  const std::vector<std::string> rest = command({"train.steps=1000000"});
  words.insert(words.end(), rest.begin(), rest.end());
  const testing::ProgramResult result = testing::run_program(words);
  EXPECT_EQ(result.exit_code, 130) << result.err;
  EXPECT_THAT(result.err, HasSubstr("interrupted: saving when this step has ended"));
  const size_t done = metrics().size();
  const Json resumed = ashlar_json(command({"--resume", fmt::format("train.steps={}", done + 1)}));
  EXPECT_EQ(resumed["first_step"], done + 1);
}

// Nothing is there to save before the first step. Here the program waits for another that encodes
// the same text.
TEST_F(TrainVerbTest, CtrlCBeforeTheFirstStepEndsAtOnce) {
  ashlar_json(command());
  remove_tree(run_dir());
  const std::string line = fmt::format(
      "set -m; lock=$(echo {0}/cache/*.lock); rm -r ${{lock%.lock}}; "
      "flock $lock sleep 20 & holder=$!; while flock -n $lock true; do sleep 0.01; done; "
      "\"$0\" \"$@\" 2>{0}/err & pid=$!; while ! grep -q tensorboard {0}/err; do sleep 0.01; done; "
      "sleep 0.1; kill -INT $pid; wait $pid; code=$?; "
      "flock -n $lock true && code=nobody_held_it; kill -- -$holder; exit $code",
      folder_.path());
  std::vector<std::string> words = {"bash", "-c", line, ashlar_binary()};
  const std::vector<std::string> rest = command();
  words.insert(words.end(), rest.begin(), rest.end());
  const testing::ProgramResult result = testing::run_program(words);
  EXPECT_EQ(result.exit_code, 130) << result.err;
  EXPECT_FALSE(is_directory(run_dir()));
}

TEST_F(TrainVerbTest, NothingLeftToDo) {
  ashlar_json(command());
  const testing::ProgramResult result = ashlar(command({"--resume"}));
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(result.out, fmt::format("nothing left to do: train.steps=6, and 6 is there\n"
                                    "model: {}/checkpoints/step-6\n",
                                    run_dir()));
}

// Without a word beforehand: what was done since the checkpoint is done again, to the same bits.
TEST_F(TrainVerbTest, AKilledRunGoesOnAsIfNothingHadHappened) {
  const std::vector<std::string> settings = {"train.steps=200", "checkpoint.every=5"};
  ashlar_json(command(settings));
  const std::vector<Json> whole = metrics();
  remove_tree(run_dir());
  const std::string line = fmt::format(
      "\"$0\" \"$@\" & pid=$!; while ! [ -e {}/latest ]; do sleep 0.01; done; kill -KILL $pid; "
      "wait $pid",
      run_dir());
  std::vector<std::string> words = {"bash", "-c", line, ashlar_binary()};
  const std::vector<std::string> rest = command(settings);
  words.insert(words.end(), rest.begin(), rest.end());
  EXPECT_EQ(testing::run_program(words).exit_code, 137);
  ASSERT_LT(metrics().size(), whole.size());
  std::vector<std::string> again = command(settings);
  again.push_back("--resume");
  EXPECT_GT(ashlar_json(again)["first_step"], 1);
  ASSERT_EQ(metrics().size(), whole.size());
  for (size_t i = 0; i < whole.size(); ++i) {
    for (const char* key : {"step", "loss", "grad_norm", "lr", "tokens", "epoch"}) {
      EXPECT_EQ(metrics()[i][key], whole[i][key]) << key;
    }
  }
}

TEST_F(TrainVerbTest, ALossThatIsNotFiniteNamesStepOpAndLayer) {
  const std::string error =
      complaint(ashlar(command({"train.lr=1e12", "train.schedule=constant", "train.clip=0"})), 1);
  EXPECT_THAT(error, HasSubstr("training: step 2: the loss is not finite: op layers.0.attn."));
  EXPECT_THAT(error, ::testing::ContainsRegex("\\([a-z]+, layer 0\\) gave a NaN or infinity"));
  EXPECT_THAT(error, HasSubstr("lower train.lr"));
  EXPECT_EQ(metrics().size(), 1u);  // nothing is written of the step that failed
}

TEST_F(TrainVerbTest, LearnsFromABlendOfTextAndChats) {
  std::string chats;
  for (int i = 0; i < 40; ++i) {
    chats += R"({"messages": [{"role": "user", "content": "what jumps over the dog?"}, )"
             R"({"role": "assistant", "content": "the fox"}]})"
             "\n";
  }
  write_file(folder_.path("chats.jsonl"), chats);
  const Json json =
      ashlar_json(command({"train.seq=128", fmt::format("data.train={}:3,{}:1", corpus(),
                                                        folder_.path("chats.jsonl"))}));
  EXPECT_EQ(json["last_step"], 6);
  EXPECT_LT(json["loss"], metrics().front()["loss"]);
}

TEST_F(TrainVerbTest, TheResolvedConfigurationIsPrintedAndKept) {
  write_file(folder_.path("config.toml"), "[train]\nlr = 0.5\nsteps = 2\n");
  const testing::ProgramResult result =
      ashlar(command({"train.steps=1", folder_.path("config.toml")}),
             {.env = {{"ASHLAR_TRAIN_LR", "0.25"}}});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.err, HasSubstr("lr = 0.25"));    // environment over file
  EXPECT_THAT(result.err, HasSubstr("steps = 1\n"));  // command line over both
  EXPECT_THAT(read_file(run_dir() + "/config.toml"), HasSubstr("lr = 0.25"));
}

TEST_F(TrainVerbTest, APipelineOfTensorRanksLearnsAsOneRank) {
  const std::vector<std::string> sizes = {"model.layers=2", "train.batch=4", "train.microbatch=1"};
  ashlar_json(command(sizes));
  const std::vector<Json> one = metrics();
  remove_tree(run_dir());
  std::vector<std::string> words = sizes;
  words.insert(words.end(), {"--ranks", "4", "mesh.pipe=2", "mesh.tensor=2"});
  ashlar_json(command(words));
  ASSERT_EQ(metrics().size(), one.size());
  for (size_t i = 0; i < one.size(); ++i) {
    EXPECT_NEAR(metrics()[i]["loss"], one[i]["loss"], 1e-5 * one[i]["loss"].get<double>());
  }
  words.push_back("parallel.schedule=interleave");
  EXPECT_THAT(complaint(ashlar(command(words)), 2), HasSubstr("did you mean interleaved?"));
}

TEST_F(TrainVerbTest, WrongSettings) {
  EXPECT_THAT(complaint(ashlar(command({"train.stepz=5"})), 2),
              AllOf(HasSubstr("train.stepz"), HasSubstr("train.steps")));
  EXPECT_THAT(complaint(ashlar(command({"train.lr=-1"})), 2), HasSubstr("config train.lr: -1"));
  EXPECT_THAT(complaint(ashlar(command({"train.batch=6", "train.microbatch=4"})), 2),
              HasSubstr("train.batch"));
  EXPECT_THAT(complaint(ashlar({"train"}), 2), HasSubstr("no settings"));
  EXPECT_THAT(complaint(ashlar({"train", "no.toml"}), 2), HasSubstr("'no.toml' is no file"));
  EXPECT_THAT(ashlar({"train", "--keys"}).out, HasSubstr("checkpoint.every"));
}

TEST_F(TrainVerbTest, WrongData) {
  write_file(corpus(), "");
  EXPECT_THAT(complaint(ashlar(command()), 1), HasSubstr(corpus()));
  EXPECT_THAT(complaint(ashlar(command({"run.dir=" + corpus() + "/run"})), 1), HasSubstr(corpus()));
  write_file(folder_.path("bad.jsonl"), "{\"text\": \"fine\"}\n{\"text\": 7}\n");
  EXPECT_THAT(complaint(ashlar(command({"data.train=" + folder_.path("bad.jsonl")})), 1),
              HasSubstr(folder_.path("bad.jsonl") + ":2"));
  remove_tree(corpus());
  EXPECT_THAT(complaint(ashlar(command()), 1), HasSubstr("no such file or folder"));
  EXPECT_THAT(complaint(ashlar({"eval", fixture_model("llama"), "--data", corpus()}), 1),
              HasSubstr("no such file or folder"));
  EXPECT_THAT(complaint(ashlar({"report", folder_.path()}), 1), HasSubstr("metrics.jsonl"));
}

}  // namespace
}  // namespace ashlar::cli
