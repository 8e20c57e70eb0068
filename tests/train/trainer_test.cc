// The loop: what it learns, what it leaves behind, how it goes on and how it ends.
#include "ashlar/train/trainer.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/bundle/bundle.h"
#include "ashlar/comm/thread_ranks.h"
#include "ashlar/train/checkpoint.h"
#include "tests/base/messages.h"
#include "tests/train/tiny_run.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <cstring>
#include <filesystem>
#include <optional>

namespace ashlar::train {
namespace {

using ashlar::testing::error_of;
using ::testing::AllOf;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::Not;
using namespace testing;  // NOLINT: tiny runs

TEST(TrainerTest, LearnsAndLeavesARunFolder) {
  const TinyRun tiny;
  TrainConfig config = tiny.config("run");
  config.train.steps = 60;
  config.train.dropout = 0;
  config.checkpoint.every = 20;
  config.sample.every = 30;
  config.sample.prompt = "the cat";
  config.sample.tokens = 4;
  const TrainOutcome outcome = run(config);
  EXPECT_EQ(outcome.last_step, 60);
  EXPECT_EQ(outcome.exit_code(), 0);
  ASSERT_TRUE(outcome.valid_loss && outcome.valid_loss_start);
  EXPECT_LT(*outcome.valid_loss, 0.6 * *outcome.valid_loss_start);
  EXPECT_EQ(outcome.checkpoint, checkpoint_folder(config.run.dir, 60));

  const auto steps = read_metrics(tiny.path("run/metrics.jsonl"));
  ASSERT_EQ(steps.size(), 60u);
  EXPECT_EQ(steps.front().step, 1);
  EXPECT_TRUE(steps.front().valid_loss_start.has_value());
  EXPECT_GT(steps.back().mfu, 0);
  EXPECT_EQ(steps.back().tokens, 60 * 4 * 16);
  for (const char* name : {"config.toml", "record.jsonl", "samples.jsonl", "tensorboard"}) {
    EXPECT_TRUE(is_file(tiny.path("run") + "/" + name) ||
                is_directory(tiny.path("run") + "/" + name))
        << name;
  }
  EXPECT_EQ(read_file(tiny.path("run/latest")), "checkpoints/step-60\n");
  EXPECT_THAT(read_file(tiny.path("run/samples.jsonl")), HasSubstr("\"text\":\"the cat"));

  // Each checkpoint is a model like any other.
  const auto bundle = bundle::Bundle::open(outcome.checkpoint);
  EXPECT_EQ(bundle.config().width, 16);
  EXPECT_EQ(bundle.load_tokenizer().json(),
            read_file(join_path(fixture("llama"), "tokenizer.json")));
}

TEST(TrainerTest, ResumingGoesOnBitForBit) {
  for (const Optimizer optimizer : {Optimizer::kAdamW, Optimizer::kMuon}) {
    for (const DType dtype : {DType::kF32, DType::kBF16, DType::kF16}) {
      const TinyRun tiny;
      TrainConfig straight = tiny.config("straight");
      straight.train.optimizer = optimizer;
      straight.train.dtype = dtype;
      straight.train.steps = 20;
      straight.checkpoint.every = 10;
      run(straight);

      TrainConfig halves = straight;
      halves.run.dir = tiny.path("halves");
      TrainHooks hooks = quiet();
      int64_t done = 0;
      hooks.on_step = [&](const StepMetrics& metrics) { done = metrics.step; };
      hooks.stop = [&] { return done == 9; };  // during the tenth step
      EXPECT_EQ(train(halves, hooks).exit_code(), 130);
      EXPECT_EQ(list_checkpoints(halves.run.dir), std::vector<int64_t>{10});
      halves.run.threads = 2;
      const TrainOutcome outcome = resume(halves);
      EXPECT_EQ(outcome.first_step, 11);
      EXPECT_EQ(learning_log(halves.run.dir), learning_log(straight.run.dir));
      EXPECT_EQ(learnt_bytes(halves.run.dir), learnt_bytes(straight.run.dir));
    }
  }
}

TEST(TrainerTest, ResumingWithNothingThereStartsAtStepOne) {
  const TinyRun tiny;
  TrainOutcome outcome;
  EXPECT_THAT(
      log_of([&] { outcome = resume(tiny.config("run")); }),
      HasSubstr(fmt::format("event=resume dir={} found=nothing first_step=1", tiny.path("run"))));
  EXPECT_EQ(outcome.first_step, 1);
  EXPECT_EQ(outcome.last_step, 10);
  // And when all is done, there is nothing to do.
  EXPECT_EQ(resume(tiny.config("run")).first_step, 11);
  EXPECT_EQ(read_metrics(tiny.path("run/metrics.jsonl")).size(), 10u);
}

TEST(TrainerTest, TornCheckpointsAreSkipped) {
  const TinyRun tiny;
  run(tiny.config("run"));
  const auto log = learning_log(tiny.path("run"));
  const std::string learnt = learnt_bytes(tiny.path("run"));
  truncate_file(tiny.path("run/checkpoints/step-10/model.safetensors"), 1000);
  EXPECT_EQ(find_checkpoint(tiny.path("run")), 5);
  EXPECT_THAT(log_of([&] { EXPECT_EQ(resume(tiny.config("run")).first_step, 6); }),
              AllOf(HasSubstr("event=checkpoint_skipped step=10 reason="),
                    HasSubstr("model.safetensors: torn: 1000 bytes")));
  EXPECT_EQ(learning_log(tiny.path("run")), log);
  EXPECT_EQ(learnt_bytes(tiny.path("run")), learnt);
}

// The log says what was decided, within what is allowed; learning goes on as without saves.
TEST(TrainerTest, FindsTheIntervalOfSaves) {
  const TinyRun tiny;
  TrainConfig config = tiny.config("run");
  config.train.steps = 400;
  config.checkpoint.every = CheckpointSection::kAuto;
  config.checkpoint.keep = 0;
  config.valid.every = 0;
  const std::string log = log_of([&] { run(config); });
  const size_t at = log.find("event=checkpoint_interval every=");
  ASSERT_NE(at, std::string::npos);
  const size_t overhead = log.find("overhead=", at);
  EXPECT_LE(std::stod(log.substr(overhead + std::strlen("overhead="))), 3.5);
  const std::vector<int64_t> steps = list_checkpoints(config.run.dir);
  ASSERT_GE(steps.size(), 3u);
  EXPECT_EQ(steps[0], 12);  // two steps to warm up, ten timed
  TrainConfig fixed = config;
  fixed.run.dir = tiny.path("fixed");
  fixed.checkpoint.every = 0;
  run(fixed);
  EXPECT_EQ(learning_log(config.run.dir), learning_log(fixed.run.dir));
}

TEST(TrainerTest, KeepsTheLastAndTheBest) {
  const TinyRun tiny;
  TrainConfig config = tiny.config("run");
  config.train.steps = 24;
  config.train.lr = 5e-2;
  config.checkpoint.every = 4;
  config.checkpoint.keep = 2;
  config.valid.every = 4;
  // Unlike the training text: the surer the model gets, the worse it does here.
  write_file(tiny.path("valid.txt"), "0123 XYZ {} += 99; QQ //\n0123 XYZ {} += 99; QQ //\n");
  run(config);
  const auto state = read_trainer_state(checkpoint_folder(config.run.dir, 24));
  ASSERT_TRUE(state.best_step.has_value());
  ASSERT_LT(*state.best_step, 20);
  EXPECT_THAT(list_checkpoints(config.run.dir), ElementsAre(*state.best_step, 20, 24));
}

TEST(TrainerTest, RefusesWhatWouldLoseOrConfuseARun) {
  const TinyRun tiny;
  TrainConfig config = tiny.config("run");
  run(config);
  remove_tree(tiny.path("cache"));
  EXPECT_THAT(error_of([&] { run(config); }), HasSubstr("go on with --resume"));
  EXPECT_FALSE(is_directory(tiny.path("cache")));  // said before hours of encoding
  TrainConfig other = config;
  other.train.optimizer = Optimizer::kMuon;
  EXPECT_THAT(error_of([&] { resume(other); }), HasSubstr("train.optimizer=adamw"));
  other = config;
  other.model.layers = 3;
  EXPECT_THAT(error_of([&] { resume(other); }), HasSubstr("another model"));
  other = config;
  other.train.seed = 7;
  EXPECT_THAT(error_of([&] { resume(other); }), HasSubstr("train.seed"));
  other = config;
  other.train.microbatch = 3;
  EXPECT_THAT(error_of([&] { run(other); }), HasSubstr("nearest"));
}

// As when somebody starts the ranks by hand: a layout that cannot work is refused first, whatever
// else is wrong.
TEST(TrainerTest, RefusesALayoutBeforeItReadsData) {
  const TinyRun tiny;
  TrainConfig config = tiny.config("run");
  config.mesh.tensor = 2;  // of one key-value head
  config.data.train = {tiny.path("missing.txt")};
  comm::run_ranks(2, [&](comm::Communicator& comm) {
    EXPECT_THAT(error_of([&] { train(config, quiet(), &comm); }),
                HasSubstr("config mesh.tensor: 2 ranks do not divide"));
  });
}

TEST(TrainerTest, ANonFiniteLossNamesStepOpAndLayer) {
  const TinyRun tiny;
  TrainConfig config = tiny.config("run");
  config.train.lr = 1e30;
  config.train.schedule = Schedule::kConstant;
  config.train.warmup = 0;
  const std::string error = error_of([&] { run(config); });
  EXPECT_THAT(error, HasSubstr("training: step 2: the "));
  EXPECT_THAT(error,
              ::testing::ContainsRegex("op [a-z0-9._]+ \\([a-z_]+(, layer [0-9]+)?\\) gave"));
}

TEST(TrainerTest, StartsFromAModel) {
  const TinyRun tiny;
  for (const char* model : {"gpt2", "llama", "llama2", "mixtral"}) {
    TrainConfig config = tiny.config(model);
    config.model.from = fixture(model);
    config.data.tokenizer.clear();
    config.train.steps = 3;
    TrainOutcome outcome;
    const std::string log = log_of([&] { outcome = run(config); });
    EXPECT_EQ(outcome.last_step, 3) << model;
    EXPECT_THAT(log, HasSubstr("key=model.width given=16 is=64 "));  // it has sizes of its own
    EXPECT_THAT(read_file(join_path(config.run.dir, "config.toml")),
                AllOf(HasSubstr("from = "), Not(HasSubstr("width = "))));
    const auto from = bundle::Bundle::open(fixture(model)),
               to = bundle::Bundle::open(outcome.checkpoint);
    EXPECT_EQ(to.config().family, from.config().family);
    EXPECT_EQ(to.open_weights().names().size(), from.open_weights().names().size());
  }
}

// The fixture's GPT-2 with dropout rates of its own.
std::string gpt2_with_dropout(const TinyRun& tiny, const std::map<std::string, double>& rates) {
  const std::string model = tiny.path("gpt2");
  std::filesystem::copy(fixture("gpt2"), model);
  const std::string config_json = join_path(model, "config.json");
  auto json = nlohmann::json::parse(read_file(config_json));
  for (const auto& [key, rate] : rates) json[key] = rate;
  write_file(config_json, json.dump());
  return model;
}

TrainConfig one_step_from(const TinyRun& tiny, const std::string& model, const std::string& name,
                          std::optional<double> dropout) {
  TrainConfig config = tiny.config(name);
  config.model.from = model;
  config.data.tokenizer.clear();
  config.train.steps = 1;
  config.train.warmup = 0;
  config.train.dropout = dropout;
  return config;
}

// GPT-2 as the hub has it drops a tenth everywhere, attention's probabilities included.
TEST(TrainerTest, AModelsOwnDropoutIsKeptOrReplaced) {
  const TinyRun tiny;
  const std::string model =
      gpt2_with_dropout(tiny, {{"embd_pdrop", 0.1}, {"resid_pdrop", 0.1}, {"attn_pdrop", 0.1}});
  const auto first_loss = [&](const std::string& name, std::optional<double> dropout) {
    return run(one_step_from(tiny, model, name, dropout)).loss;
  };
  const double own = first_loss("own", std::nullopt);
  EXPECT_EQ(bundle::Bundle::open(tiny.path("own/checkpoints/step-1")).config(),
            bundle::Bundle::open(model).config());
  EXPECT_EQ(first_loss("tenth", 0.1), own);
  EXPECT_NE(first_loss("none", 0.0), own);
  EXPECT_EQ(bundle::Bundle::open(tiny.path("none/checkpoints/step-1")).config(),
            bundle::Bundle::open(model).config().without_dropout());
}

TEST(TrainerTest, AttentionDropoutAloneIsPartOfTraining) {
  const TinyRun tiny;
  const std::string model =
      gpt2_with_dropout(tiny, {{"embd_pdrop", 0}, {"resid_pdrop", 0}, {"attn_pdrop", 0.1}});
  const auto train_with = [&](const std::string& name, auto change) {
    TrainConfig config = one_step_from(tiny, model, name, std::nullopt);
    config.train.steps = 3;
    config.checkpoint.every = 3;
    change(config);
    return run(config).loss;
  };
  const auto weights = [&](const std::string& name) {
    return read_file(tiny.path(name + "/checkpoints/step-3/model.safetensors"));
  };
  const double loss = train_with("first", [](TrainConfig&) {});
  EXPECT_NE(train_with("none", [](TrainConfig& c) { c.train.dropout = 0; }), loss);
  EXPECT_EQ(train_with("again", [](TrainConfig& c) { c.run.threads = 3; }), loss);
  EXPECT_TRUE(weights("again") == weights("first"));
  EXPECT_NEAR(train_with("whole", [](TrainConfig& c) { c.train.microbatch = 4; }), loss,
              1e-5 * loss);
}

TEST(TrainerTest, WritesATrace) {
  const TinyRun tiny;
  TrainConfig config = tiny.config("run");
  config.run.profile = tiny.path("trace.json");
  run(config);
  EXPECT_THAT(read_file(config.run.profile), HasSubstr("linear_weight_grad"));
  // Also of a run that is stopped in the middle of it, and of each rank.
  TrainHooks hooks = quiet();
  int64_t done = 0;
  hooks.on_step = [&](const StepMetrics& metrics) { done = metrics.step; };
  hooks.stop = [&] { return done == 2; };
  TrainConfig stopped = tiny.config("stopped");
  stopped.run.profile = tiny.path("stopped.json");
  train(stopped, hooks);
  EXPECT_THAT(read_file(stopped.run.profile), HasSubstr("linear_weight_grad"));
  TrainConfig ranks = tiny.config("ranks");
  ranks.mesh.data = 2;
  ranks.train.microbatch = 1;
  ranks.run.profile = tiny.path("ranks.json");
  comm::run_ranks(2, [&](comm::Communicator& comm) { train(ranks, quiet(), &comm); });
  EXPECT_THAT(read_file(ranks.run.profile), HasSubstr("linear_weight_grad"));
  EXPECT_THAT(read_file(ranks.run.profile + ".rank-1"), HasSubstr("linear_weight_grad"));
}

}  // namespace
}  // namespace ashlar::train
