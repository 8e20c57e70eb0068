// run and logits of the fixture models, against what transformers computed.
#include "tests/cli/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::cli {
namespace {

using ::testing::HasSubstr;

TEST(GenerateTest, GreedyIdsAreTheGoldens) {
  for (const char* model : {"gpt2", "llama", "llama2", "mixtral"}) {
    const Json items = golden(model)["generate"];
    for (const Json& item : items) {
      const Json found = ashlar_json({"run", fixture_model(model), "--ids",
                                      join_ids(item["prompt_ids"]), "--max-new", "24", "--greedy"});
      EXPECT_EQ(found, (Json{{"ids", item["greedy_ids"]}})) << model;
    }
  }
}

TEST(GenerateTest, LogitsAreTheGoldens) {
  for (const char* model : {"gpt2", "llama", "llama2", "mixtral"}) {
    const Json item = golden(model)["forward"][0];
    const Json found =
        ashlar_json({"logits", fixture_model(model), "--ids", join_ids(item["ids"])})["logits"];
    ASSERT_EQ(found.size(), item["last_logits"].size());
    for (size_t i = 0; i < found.size(); ++i) {
      EXPECT_NEAR(found[i].get<double>(), item["last_logits"][i].get<double>(), 1e-4) << model;
    }
  }
}

TEST(GenerateTest, EqualSeedsGiveEqualTexts) {
  const auto text = [](const char* seed) {
    const testing::ProgramResult result = ashlar({"run", fixture_model("llama"), "To be", "--seed",
                                                  seed, "--max-new", "12", "--temperature", "1"});
    EXPECT_EQ(result.exit_code, 0) << result.err;
    EXPECT_EQ(result.err, "");
    return result.out;
  };
  EXPECT_EQ(text("7"), text("7"));
  EXPECT_NE(text("7"), text("8"));
  const Json json = ashlar_json({"run", fixture_model("llama"), "To be", "--seed", "7", "--max-new",
                                 "12", "--temperature", "1"});
  EXPECT_EQ(json["text"].get<std::string>() + "\n", text("7"));
}

TEST(GenerateTest, TheLengthHasTheNamesThatOthersGiveIt) {
  for (const char* name : {"-n", "--max-new", "--max-tokens"}) {
    const Json json = ashlar_json({"run", fixture_model("llama"), "--ids", "1,2", name, "3"});
    EXPECT_EQ(json["ids"].size(), 3u) << name;
  }
}

TEST(GenerateTest, ReadsThePromptFromAPipe) {
  const std::vector<std::string> command = {"run",      fixture_model("gpt2"), "-",
                                            "--greedy", "--max-new",           "4"};
  const std::vector<std::string> direct = {"run",      fixture_model("gpt2"), "To be",
                                           "--greedy", "--max-new",           "4"};
  EXPECT_EQ(ashlar(command, {.stdin_text = "To be"}).out, ashlar(direct).out);
}

TEST(GenerateTest, AFullContextIsSaid) {
  const testing::ProgramResult result =
      ashlar({"run", fixture_model("llama"), "--ids", "1,2", "--max-new", "300", "--json"});
  EXPECT_EQ(result.exit_code, 0) << result.err;
  EXPECT_EQ(Json::parse(result.out)["ids"].size(), 254u);  // of 256 positions
  EXPECT_THAT(result.err, HasSubstr("event=context_full new_tokens=254 asked=300"));
}

TEST(GenerateTest, BadIdsAndPrompts) {
  const std::string model = fixture_model("llama");
  EXPECT_THAT(
      complaint(ashlar({"logits", model, "--ids", "1,512"}), 1),
      HasSubstr("token id 512 at position 1 is beyond the vocabulary: ids go from 0 to 511"));
  EXPECT_THAT(complaint(ashlar({"run", model, "--ids", "-1"}), 1), HasSubstr("token id -1"));
  EXPECT_THAT(complaint(ashlar({"run", model}), 2), HasSubstr("nothing to go on from"));

  std::string long_ids = "1";
  for (int i = 0; i < 300; ++i) long_ids += ",1";  // the model has 256 positions
  EXPECT_THAT(complaint(ashlar({"run", model, "--ids", long_ids}), 1),
              HasSubstr("the prompt has 301 tokens, the context 256"));
  EXPECT_THAT(complaint(ashlar({"logits", model, "--ids", long_ids}), 1),
              HasSubstr("301 token ids are more than the context of 256"));
  EXPECT_THAT(complaint(ashlar({"run", model, "a", "--context", "100000"}), 1), HasSubstr("256"));
  EXPECT_THAT(complaint(ashlar({"run", model, "a", "--temperature", "-1"}), 2),
              HasSubstr("temperature"));
}

}  // namespace
}  // namespace ashlar::cli
