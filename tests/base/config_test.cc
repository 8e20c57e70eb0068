#include "ashlar/base/config.h"

#include "ashlar/base/atomic_file.h"
#include "ashlar/base/error.h"
#include "tests/base/messages.h"
#include "tests/base/temp_dir.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <stdlib.h>

namespace ashlar {
namespace {

using ashlar::testing::error_of;
using ashlar::testing::TempDir;
using ::testing::ElementsAre;
using ::testing::HasSubstr;
using ::testing::StartsWith;

enum class Decay { kAll, kMatrices };

struct TrainPart {
  double lr = 3e-4;
  int64_t steps = 1000;
  int batch = 8;
  bool tied = true;
  Decay decay = Decay::kMatrices;
  std::optional<double> clip;
  std::optional<std::string> resume;

  void bind(ConfigBinder& b) {
    b.key("lr", lr, "peak learning rate").positive();
    b.key("steps", steps, "optimizer steps").at_least(1);
    b.key("batch", batch, "sequences of a step");
    b.key("tied", tied, "one table for input and output");
    b.choice<Decay>("decay", decay, {{"all", Decay::kAll}, {"matrices", Decay::kMatrices}},
                    "what decays");
    b.key("clip", clip, "largest gradient norm").between(0, 10);
    b.key("resume", resume, "run to go on with");
  }
};

struct RunConfig {
  std::string name = "run";
  std::vector<std::string> data;
  TrainPart train;

  void bind(ConfigBinder& b) {
    b.section("train", train);
    b.key("data.files", data, "texts to learn from").required();
    b.key("name", name, "of the run");
  }
};

// Each keeps its own struct, so that one does not see what another set.
struct Loaded {
  RunConfig config;
  ConfigTable table{config};
};

std::string toml_error(const std::string& toml) {
  Loaded run;
  return error_of([&] { run.table.load_text(toml, "c.toml"); });
}

std::string set_error(const std::string& assignment) {
  Loaded run;
  return error_of([&] { run.table.set(assignment); });
}

TEST(ConfigTest, LoadsToml) {
  Loaded run;
  run.table.load_text(R"(
name = "fifth \"try\""
[train]
lr = 1e-3
steps = "25.6k"   # as people write it
batch = 4
tied = false
decay = "all"
clip = 1
[data]
files = ["a.txt", "b,c.txt"]
)",
                      "c.toml");
  const RunConfig& c = run.config;
  EXPECT_EQ(c.name, "fifth \"try\"");
  EXPECT_EQ(c.train.lr, 1e-3);
  EXPECT_EQ(c.train.steps, 25600);
  EXPECT_EQ(c.train.batch, 4);
  EXPECT_FALSE(c.train.tied);
  EXPECT_EQ(c.train.decay, Decay::kAll);
  EXPECT_EQ(c.train.clip, 1.0);
  EXPECT_EQ(c.train.resume, std::nullopt);
  EXPECT_THAT(c.data, ElementsAre("a.txt", "b,c.txt"));
  EXPECT_TRUE(run.table.key("train.lr").was_set());
  EXPECT_FALSE(run.table.key("train.resume").was_set());
}

TEST(ConfigTest, DottedKeysAndDefaultsThatStay) {
  Loaded run;
  run.table.load_text("train.batch = 2\ndata.files = 'one.txt'", "c.toml");
  EXPECT_EQ(run.config.train.batch, 2);
  EXPECT_THAT(run.config.data, ElementsAre("one.txt"));
  EXPECT_EQ(run.config.train.lr, 3e-4);
  EXPECT_EQ(run.config.name, "run");
}

TEST(ConfigTest, CommandLine) {
  Loaded run;
  for (const char* assignment :
       {"train.lr=1e-2", "train.steps=32K", "train.tied=no", "train.decay=all", "train.clip=0.5",
        "train.resume=a=b", "data.files=x,y", "name=", "train.batch=2k"}) {
    run.table.set(assignment);
  }
  const RunConfig& c = run.config;
  EXPECT_EQ(c.train.lr, 1e-2);
  EXPECT_EQ(c.train.steps, 32768);
  EXPECT_EQ(c.train.batch, 2000);
  EXPECT_FALSE(c.train.tied);
  EXPECT_EQ(c.train.decay, Decay::kAll);
  EXPECT_EQ(c.train.clip, 0.5);
  EXPECT_EQ(c.train.resume, "a=b");
  EXPECT_THAT(c.data, ElementsAre("x", "y"));
  EXPECT_EQ(c.name, "");
  run.table.set("train.clip=");
  EXPECT_EQ(c.train.clip, std::nullopt);
}

TEST(ConfigTest, EnvironmentIsBetweenFileAndCommandLine) {
  ::setenv("TESTASHLAR_TRAIN_LR", "0.5", 1);
  ::setenv("TESTASHLAR_TRAIN_BATCH", "x", 1);
  Loaded run;
  run.table.load_text("train.lr = 0.25", "c.toml");
  const std::string error = error_of([&] { run.table.load_env("TESTASHLAR_"); });
  EXPECT_EQ(run.config.train.lr, 0.5);
  EXPECT_EQ(error,
            "config train.batch: \"x\" is not a whole number (environment TESTASHLAR_TRAIN_BATCH)");
  run.table.set("train.lr=0.75");
  EXPECT_EQ(run.config.train.lr, 0.75);
  ::unsetenv("TESTASHLAR_TRAIN_LR");
  ::unsetenv("TESTASHLAR_TRAIN_BATCH");
}

TEST(ConfigTest, UnknownKeysNameTheNearest) {
  EXPECT_EQ(set_error("train.lrr=1"), "config train.lrr: unknown key; did you mean train.lr?");
  EXPECT_EQ(set_error("lr=1"), "config lr: unknown key; did you mean train.lr?");
  EXPECT_EQ(set_error("serve.port=1"), "config serve.port: unknown key");
  EXPECT_EQ(toml_error("[train]\nlr = 1\nstep = 3"),
            "config train.step: unknown key; did you mean train.steps? (c.toml:3:8)");
  EXPECT_EQ(toml_error("[trian]\nlr = 1"),
            "config trian.lr: unknown key; did you mean train.lr? (c.toml:2:6)");
  EXPECT_EQ(toml_error("[nothing]\n"), "config nothing: unknown key (c.toml:1:1)");
}

TEST(ConfigTest, TypesThatDoNotFit) {
  EXPECT_EQ(toml_error("[train]\nlr = \"abc\""),
            "config train.lr: \"abc\" is not a number (c.toml:2:6)");
  EXPECT_EQ(set_error("train.lr=abc"), "config train.lr: \"abc\" is not a number");
  EXPECT_EQ(set_error("train.lr=1e-3x"), "config train.lr: \"1e-3x\" is not a number");
  EXPECT_EQ(toml_error("train.lr = true"), "config train.lr: true is not a number (c.toml:1:12)");
  EXPECT_EQ(toml_error("train.lr = nan"),
            "config train.lr: nan is not a finite number (c.toml:1:12)");
  EXPECT_EQ(set_error("train.steps=2.5"), "config train.steps: 2.5 is not a whole number");
  EXPECT_EQ(toml_error("train.steps = 2.5"),
            "config train.steps: 2.5 is not a whole number (c.toml:1:15)");
  EXPECT_EQ(set_error("train.batch=3g"),
            "config train.batch: \"3g\" is not a whole number of 32 bits");
  EXPECT_EQ(set_error("train.tied=maybe"), "config train.tied: \"maybe\" is not true or false");
  EXPECT_EQ(toml_error("train.tied = 1"),
            "config train.tied: 1 is not true or false (c.toml:1:14)");
  EXPECT_EQ(toml_error("name = 5"), "config name: 5 is not text; put it in quotes (c.toml:1:8)");
  EXPECT_EQ(set_error("train.decay=some"),
            "config train.decay: \"some\" is not one of all, matrices");
  EXPECT_EQ(toml_error("data.files = [1]"),
            "config data.files: a list of other things is not a list of texts (c.toml:1:15)");
  EXPECT_EQ(toml_error("name = 1979-05-27"),
            "config name: a date or time is not text; put it in quotes (c.toml:1:8)");
  EXPECT_EQ(toml_error("[train.lr]\nx = 1"),
            "config train.lr: a table is not a number (c.toml:1:1)");
  EXPECT_EQ(toml_error("train = 3"),
            "config train: a value where a table of keys is wanted (c.toml:1:9)");
  EXPECT_EQ(set_error("train.lr"), "config: 'train.lr' is not key=value");
  EXPECT_EQ(set_error("=3"), "config: '=3' is not key=value");
}

TEST(ConfigTest, Ranges) {
  EXPECT_EQ(set_error("train.lr=-1"), "config train.lr: -1 is not positive");
  EXPECT_EQ(set_error("train.lr=0"), "config train.lr: 0 is not positive");
  EXPECT_EQ(toml_error("train.steps = 0"), "config train.steps: 0 is not at least 1 (c.toml:1:15)");
  EXPECT_EQ(set_error("train.clip=11"), "config train.clip: 11 is not between 0 and 10");
  EXPECT_EQ(set_error("train.clip=10"), "(no error)");
}

TEST(ConfigTest, ANumberOrAWord) {
  struct {
    int64_t every = -1;
    void bind(ConfigBinder& b) { b.key_or("every", every, "auto", -1, "steps").at_least(0); }
  } config;
  ConfigTable table(config);
  EXPECT_EQ(table.to_toml(), "every = \"auto\"\n");
  table.check();
  table.set("every=7");
  EXPECT_EQ(config.every, 7);
  EXPECT_EQ(table.to_toml(), "every = 7\n");
  table.set("every=auto");
  EXPECT_EQ(config.every, -1);
  table.load_text("every = 3", "t.toml");
  EXPECT_EQ(config.every, 3);
  table.load_text("every = \"auto\"", "t.toml");
  EXPECT_EQ(config.every, -1);
  EXPECT_EQ(error_of([&] { table.set("every=soon"); }),
            "config every: \"soon\" is not a whole number or \"auto\"");
  EXPECT_THAT(error_of([&] { table.set("every=-2"); }), HasSubstr("config every: -2"));
}

TEST(ConfigTest, CheckFindsWhatIsMissingAndDefaultsOutOfRange) {
  Loaded run;
  EXPECT_EQ(
      error_of([&] { run.table.check(); }),
      "config data.files: not set; it is needed: texts to learn from (give data.files=VALUE)");
  run.table.set("data.files=x");
  EXPECT_NO_THROW(run.table.check());
  run.config.train.lr = -2;  // by code
  EXPECT_EQ(error_of([&] { run.table.check(); }), "config train.lr: -2.0 is not positive");
}

TEST(ConfigTest, SyntaxErrorsHaveAPlace) {
  EXPECT_THAT(toml_error("[train]\nlr = = 3"), StartsWith("config c.toml:2:6: "));
  EXPECT_THAT(toml_error("a = 1\na = 2"), StartsWith("config c.toml:2:"));
  EXPECT_THAT(toml_error("name = \"\xff\""), StartsWith("config c.toml:1:"));
  EXPECT_THAT(toml_error("x = " + std::string(100000, '[')), StartsWith("config c.toml:1:"));
}

TEST(ConfigTest, ErrorsAreUsageErrors) {
  Loaded run;
  try {
    run.table.set("x=1");
    FAIL() << "x is unknown";
  } catch (const Error& error) {
    EXPECT_EQ(error.exit_code(), 2);
  }
}

TEST(ConfigTest, Files) {
  const TempDir dir;
  write_file(dir.path("c.toml"), "[train]\nlr = 'x'\n");
  Loaded run;
  EXPECT_EQ(error_of([&] { run.table.load_file(dir.path("c.toml")); }),
            "config train.lr: \"x\" is not a number (" + dir.path("c.toml") + ":2:6)");
  EXPECT_THAT(error_of([&] { run.table.load_file(dir.path("gone")); }), HasSubstr("No such file"));
}

TEST(ConfigTest, PrintsAsToml) {
  Loaded run;
  EXPECT_EQ(run.table.to_toml(),
            "name = \"run\"\n"
            "\n"
            "[train]\n"
            "lr = 0.0003\n"
            "steps = 1000\n"
            "batch = 8\n"
            "tied = true\n"
            "decay = \"matrices\"\n"
            "# clip is not set\n"
            "# resume is not set\n"
            "\n"
            "[data]\n"
            "files = []\n");
}

TEST(ConfigTest, WhatItPrintsItReadsBack) {
  Loaded run;
  run.config.name = std::string("q\"b\\s\n\t\x01 \x7f é", 13);
  run.config.data = {"", "a,b", "[c]"};
  run.config.train = {.lr = 0.1 + 0.2,
                      .steps = INT64_MAX,
                      .batch = 1,
                      .tied = false,
                      .decay = Decay::kAll,
                      .clip = 1e-300,
                      .resume = "x"};
  Loaded back;
  back.table.load_text(run.table.to_toml(), "printed");
  EXPECT_EQ(back.table.to_toml(), run.table.to_toml());
  EXPECT_EQ(back.config.name, run.config.name);
  EXPECT_EQ(back.config.data, run.config.data);
  EXPECT_EQ(back.config.train.lr, run.config.train.lr);
  EXPECT_EQ(back.config.train.steps, INT64_MAX);
  EXPECT_EQ(back.config.train.clip, 1e-300);
  for (const double value : {1.0, 1e20, 1e-20, 123456789.0, 5e-324, 1.7976931348623157e308}) {
    run.config.train.lr = value;
    back.table.load_text(run.table.to_toml(), "printed");
    EXPECT_EQ(back.config.train.lr, value) << run.table.to_toml();
  }
}

TEST(ConfigTest, AListIsTypedWithCommasOrAsToml) {
  Loaded run;
  run.table.set("data.files=a:3,b");
  EXPECT_EQ(run.config.data, (std::vector<std::string>{"a:3", "b"}));
  run.table.set("data.files=[\"a, b:3\", 'c']");  // as it is printed
  EXPECT_EQ(run.config.data, (std::vector<std::string>{"a, b:3", "c"}));
  run.table.set("data.files=[]");
  EXPECT_TRUE(run.config.data.empty());
  for (const char* typed : {"[a]", "[1]", "[\"a\", 2]"}) {
    EXPECT_THAT(error_of([&] { run.table.set(std::string("data.files=") + typed); }),
                HasSubstr("is not a list of texts, as in [\"a\", \"b\"] or a,b"));
  }
}

struct Door {
  int64_t port = 80;
  std::vector<std::string> keys;

  void bind(ConfigBinder& b) {
    b.key("port", port, "to listen at").positive().also("listen_port");
    b.key("keys", keys, "who may enter").secret();
  }
};

TEST(ConfigTest, AnAliasIsAnotherNameOfTheKey) {
  Door door;
  ConfigTable table(door);
  table.load_text("listen_port = 1\n", "door.toml");
  EXPECT_EQ(door.port, 1);
  ::setenv("TESTASHLAR_LISTEN_PORT", "2", 1);
  table.load_env("TESTASHLAR_");
  EXPECT_EQ(door.port, 2);
  ::setenv("TESTASHLAR_PORT", "3", 1);
  table.load_env("TESTASHLAR_");
  EXPECT_EQ(door.port, 3) << "its own name wins";
  ::unsetenv("TESTASHLAR_LISTEN_PORT");
  ::unsetenv("TESTASHLAR_PORT");
  table.set("listen_port", "4");
  EXPECT_EQ(door.port, 4);
  EXPECT_THAT(table.to_toml(), HasSubstr("port = 4\nkeys = []\n"));
  EXPECT_EQ(error_of([&] { table.set("listen_port=0"); }), "config port: 0 is not positive");
}

TEST(ConfigTest, SecretsAreNeverPrinted) {
  Door door;
  ConfigTable table(door);
  table.set("keys=hunter2");
  EXPECT_EQ(door.keys, std::vector<std::string>{"hunter2"});
  EXPECT_EQ(table.to_toml(), "port = 80\n# keys is set and not shown\n");
}

struct Lamp {
  bool lit = false;
  int64_t watts = 7;

  void bind(ConfigBinder& b) {
    b.key("lit", lit, "whether it shines");
    b.key("watts", watts, "what it takes").positive().counts_if([this] { return lit; });
  }
};

TEST(ConfigTest, AKeyWithoutEffectIsNotPrinted) {
  Lamp lamp;
  ConfigTable table(lamp);
  EXPECT_EQ(table.to_toml(), "lit = false\n");
  table.set("lit=true");
  EXPECT_EQ(table.to_toml(), "lit = true\nwatts = 7\n");
}

TEST(ConfigTest, Reference) {
  Loaded run;
  run.table.set("train.lr=1");  // the reference keeps to defaults
  EXPECT_EQ(run.table.reference(),
            "train.lr = 0.0003         peak learning rate\n"
            "train.steps = 1000        optimizer steps\n"
            "train.batch = 8           sequences of a step\n"
            "train.tied = true         one table for input and output\n"
            "train.decay = \"matrices\"  what decays (all | matrices)\n"
            "train.clip                largest gradient norm\n"
            "train.resume              run to go on with\n"
            "data.files = []           texts to learn from\n"
            "name = \"run\"              of the run\n");
}

}  // namespace
}  // namespace ashlar
