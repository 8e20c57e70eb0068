#include "ashlar/base/atomic_file.h"
#include "tests/cli/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <functional>

namespace ashlar::cli {
namespace {

using ::testing::HasSubstr;

void spoil(const std::string& model, const std::function<void(Json&)>& change) {
  const std::string path = model + "/golden.json";
  Json json = Json::parse(read_file(path));
  change(json);
  write_file(path, json.dump());
}

TEST(VerifyTest, TheFixturesPass) {
  for (const char* model : {"gpt2", "llama", "llama2", "mixtral"}) {
    const Json json = ashlar_json({"verify", fixture_model(model)});
    EXPECT_EQ(json["passed"], true) << json;
    for (const char* section : {"tokenizer", "forward", "generate", "train"}) {
      EXPECT_EQ(json["sections"][section]["status"], "passed") << model << " " << section;
      EXPECT_GT(json["sections"][section]["checks"], 0) << model << " " << section;
    }
    EXPECT_EQ(json["sections"]["chat"]["status"],
              golden(model).contains("chat") ? "passed" : "skipped");
  }
}

TEST(VerifyTest, AnEncodersFixturePassesAndCanFail) {
  const Json json = ashlar_json({"verify", fixture_model("bert")});
  for (const char* section : {"tokenizer", "forward"}) {
    EXPECT_EQ(json["sections"][section]["status"], "passed") << section;
    EXPECT_GT(json["sections"][section]["checks"], 0) << section;
  }
  const testing::TempDir folder;
  const std::string model = copy_model("bert", folder);
  spoil(model, [](Json& golden) {
    golden["tokenizer"][2]["ids"][1] = 7;
    golden["forward"][1]["cls_hidden"][5] =
        golden["forward"][1]["cls_hidden"][5].get<double>() + 1e-3;
  });
  const Json spoilt = ashlar_json({"verify", model}, 1);
  EXPECT_EQ(spoilt["sections"]["tokenizer"]["failed"], 1);
  EXPECT_EQ(spoilt["sections"]["forward"]["failed"], 1);
  EXPECT_THAT(spoilt["sections"]["forward"]["detail"].get<std::string>(),
              HasSubstr("cls_hidden 5"));
}

TEST(VerifyTest, EverySectionCanFail) {
  const testing::TempDir folder;
  const std::string model = copy_model("llama", folder);
  spoil(model, [](Json& json) {
    json["tokenizer"][2]["ids"][1] = 7;
    json["chat"]["prompt"] = json["chat"]["prompt"].get<std::string>() + "x";
    json["forward"][0]["last_logits"][5] =
        json["forward"][0]["last_logits"][5].get<double>() + 1e-3;
    json["generate"][1]["greedy_ids"][3] = 7;
    json["train"]["cross_entropy"] = json["train"]["cross_entropy"].get<double>() + 1e-2;
  });
  const Json json = ashlar_json({"verify", model}, 1);
  EXPECT_EQ(json["passed"], false);
  for (const auto& [name, section] : json["sections"].items()) {
    EXPECT_EQ(section["status"], "failed") << name;
    EXPECT_GE(section["failed"], 1) << name;
  }
  EXPECT_THAT(json["sections"]["tokenizer"]["detail"].get<std::string>(),
              HasSubstr("id 1 is 42 instead of 7"));
  EXPECT_THAT(json["sections"]["forward"]["detail"].get<std::string>(), HasSubstr("logit 5"));
  const testing::ProgramResult table = ashlar({"verify", model});
  EXPECT_EQ(table.exit_code, 1);
  EXPECT_THAT(table.out, HasSubstr("generate   FAILED"));
}

// Ids and rows that the model has no place for are named, not computed with.
TEST(VerifyTest, IdsBeyondTheModelAreRefused) {
  const testing::TempDir folder;
  const std::string model = copy_model("llama", folder);
  const std::string original = read_file(model + "/golden.json");
  const auto detail = [&](const char* section, const std::function<void(Json&)>& change) {
    write_file(model + "/golden.json", original);
    spoil(model, change);
    const Json result = ashlar_json({"verify", model}, 1)["sections"][section];
    EXPECT_EQ(result["status"], "failed") << section;
    return result["detail"].get<std::string>();
  };
  EXPECT_THAT(detail("forward", [](Json& json) { json["forward"][0]["ids"][1] = 1LL << 40; }),
              HasSubstr("1099511627776 is no token id"));
  EXPECT_THAT(detail("forward", [](Json& json) { json["forward"][0]["ids"][1] = 512; }),
              HasSubstr("512"));
  EXPECT_THAT(detail("train", [](Json& json) { json["train"]["input_ids"][0][1] = 512; }),
              HasSubstr("input_ids has the id 512, the model's vocabulary 512 tokens"));
  EXPECT_THAT(detail("train", [](Json& json) { json["train"]["input_ids"][0][1] = -1; }),
              HasSubstr("input_ids has the id -1"));
  EXPECT_THAT(detail("train", [](Json& json) { json["train"]["target_ids"][0][1] = 1LL << 32; }),
              HasSubstr("target_ids has the id 4294967296"));
  EXPECT_THAT(detail("train",
                     [](Json& json) {
                       for (const char* key : {"input_ids", "target_ids"}) {
                         json["train"][key] = Json::array({std::vector<int>(300, 1)});
                       }
                     }),
              HasSubstr("rows of 300 ids, the model takes 1 to 256"));
}

// A key that is not there is named; a list with nothing in it is not a check that passed.
TEST(VerifyTest, SectionsWithoutWhatTheyCheck) {
  const testing::TempDir folder;
  const std::string model = copy_model("llama", folder);
  const std::string original = read_file(model + "/golden.json");
  spoil(model, [](Json& json) { json["forward"][0].erase("ids"); });
  EXPECT_THAT(complaint(ashlar({"verify", model}), 1),
              HasSubstr("golden.json: section forward: key 'ids' not found"));
  for (const char* key : {"grad_norms", "adamw"}) {
    write_file(model + "/golden.json", original);
    spoil(model, [&](Json& json) {
      if (key == std::string("adamw")) {
        json["train"]["adamw"]["loss_and_grad_norm"] = Json::array();
      } else {
        json["train"][key] = Json::object();
      }
    });
    const Json result = ashlar_json({"verify", model}, 1)["sections"]["train"];
    EXPECT_THAT(result["detail"].get<std::string>(), HasSubstr("is empty: leave the section out"));
  }
}

TEST(VerifyTest, MissingSectionsAreSkippedByName) {
  const testing::TempDir folder;
  const std::string model = copy_model("gpt2", folder);
  spoil(model, [](Json& json) { json = Json{{"generate", json["generate"]}}; });
  const testing::ProgramResult result = ashlar({"verify", model});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_THAT(result.out, HasSubstr("train      skipped"));
  EXPECT_THAT(result.out, HasSubstr("generate   passed"));
}

TEST(VerifyTest, NothingCheckedIsExit2) {
  const testing::TempDir folder;
  const std::string model = copy_model("gpt2", folder);
  spoil(model, [](Json& json) { json = Json{{"note", "no section of ours"}}; });
  const testing::ProgramResult table = ashlar({"verify", model});
  EXPECT_EQ(table.exit_code, 2);
  EXPECT_THAT(table.out, HasSubstr("Nothing was checked."));
  const Json json = ashlar_json({"verify", model}, 2);
  EXPECT_EQ(json["passed"], false);
  EXPECT_EQ(json["sections"].size(), 5u);
  for (const auto& [name, section] : json["sections"].items()) {
    EXPECT_EQ(section["status"], "skipped") << name;
    EXPECT_EQ(section["detail"], "not in golden.json") << name;
  }
}

TEST(VerifyTest, WithoutAFileNothingIsChecked) {
  const testing::TempDir folder;
  const std::string model = copy_model("gpt2", folder);
  remove_tree(model + "/golden.json");
  EXPECT_THAT(complaint(ashlar({"verify", model}), 2), HasSubstr("no golden.json"));
  const Json json = ashlar_json({"verify", model}, 2);
  EXPECT_EQ(json["passed"], false);
  EXPECT_EQ(json["sections"], Json::object());
}

TEST(VerifyTest, AMalformedGoldenNamesFileAndPlace) {
  const testing::TempDir folder;
  const std::string model = copy_model("gpt2", folder);
  write_file(model + "/golden.json", "{\"forward\": [");
  EXPECT_THAT(complaint(ashlar({"verify", model}), 1), HasSubstr("golden.json:1"));
  write_file(model + "/golden.json", "{\"generate\": [{\"prompt_ids\": \"abc\"}]}");
  EXPECT_THAT(complaint(ashlar({"verify", model}), 1), HasSubstr("section generate"));
}

}  // namespace
}  // namespace ashlar::cli
