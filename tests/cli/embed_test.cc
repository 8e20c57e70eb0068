#include "ashlar/base/atomic_file.h"
#include "tests/cli/program.h"
#include "tests/embed/embedding_folder.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::cli {
namespace {

using ::testing::HasSubstr;

void expect_near(const Json& found, const Json& wanted) {
  ASSERT_EQ(found.size(), wanted.size());
  for (size_t i = 0; i < wanted.size(); ++i) {
    EXPECT_NEAR(found[i].get<double>(), wanted[i].get<double>(), 1e-5) << i;
  }
}

TEST(EmbedTest, TextsFromArgumentsAndFileGiveTheGoldensVectors) {
  const testing::TempDir folder;
  const Json forward = golden("bert")["forward"];
  std::string lines;
  std::vector<std::string> command = {"embed", fixture_model("bert"), "--normalize"};
  std::vector<std::string> texts = {"one line", "another"};
  for (const std::string& text : texts) {
    command.push_back(text);
    lines += text + "\n";
  }
  const Json result = ashlar_json(command);
  EXPECT_EQ(result["dimensions"], 64);
  EXPECT_EQ(result["pooling"], "mean");
  EXPECT_EQ(result["normalized"], true);

  write_file(folder.path("texts"), lines);
  const testing::ProgramResult printed =
      ashlar({"embed", fixture_model("bert"), "--normalize", "--file", folder.path("texts")});
  std::istringstream out(printed.out);
  size_t count = 0;
  for (std::string line; std::getline(out, line); ++count) {
    const Json one = Json::parse(line);
    EXPECT_EQ(one["index"], count);
    EXPECT_EQ(one["embedding"], result["embeddings"][count]);
  }
  EXPECT_EQ(count, 2u);

  const testing::ProgramResult piped =
      ashlar({"embed", fixture_model("bert"), "--normalize", "--file", "-", "--jsonl"},
             {.stdin_text = "\"one line\"\n{\"id\": 7, \"text\": \"another\"}\n"});
  EXPECT_EQ(piped.out, printed.out);
  write_file(folder.path("texts.jsonl"), "{\"text\": \"a\"}\n{\"id\": 7}\n");
  EXPECT_THAT(
      complaint(ashlar({"embed", fixture_model("bert"), "--file", folder.path("texts.jsonl")}), 1),
      HasSubstr("texts.jsonl, line 2: wanted a string, or an object with the string \"text\""));

  for (const Json& item : forward) {
    const Json mean = ashlar_json(
        {"embed", fixture_model("bert"), "--normalize", item["text"].get<std::string>()});
    expect_near(mean["embeddings"][0], item["mean_pooled_normalized"]);
    EXPECT_EQ(mean["prompt_tokens"], item["ids"].size());
  }
  const Json cls = ashlar_json(
      {"embed", fixture_model("bert"), "--pooling", "cls", forward[0]["text"].get<std::string>()});
  expect_near(cls["embeddings"][0], forward[0]["cls_hidden"]);
}

TEST(EmbedTest, TheModelSaysWhetherVectorsHaveLengthOne) {
  const testing::EmbeddingFolder folder("bert");
  const Json item = golden("bert")["forward"][0];
  const auto embedded = [&](const char* flag) {
    std::vector<std::string> command = {"embed", folder.path(), item["text"].get<std::string>()};
    if (*flag != '\0') command.push_back(flag);
    return ashlar_json(command);
  };
  folder.write_modules(R"({"pooling_mode_mean_tokens": true})", true);
  expect_near(embedded("")["embeddings"][0], item["mean_pooled_normalized"]);
  EXPECT_EQ(embedded("--no-normalize")["normalized"], false);
  folder.write_modules(R"({"pooling_mode_mean_tokens": true})", false);
  EXPECT_EQ(embedded("")["normalized"], false);
  EXPECT_EQ(embedded("--normalize")["normalized"], true);
}

TEST(EmbedTest, WhatDoesNotFitIsOneLine) {
  EXPECT_THAT(complaint(ashlar({"embed", fixture_model("bert")}), 2),
              HasSubstr("no text is given; wanted TEXT or --file"));
  EXPECT_THAT(complaint(ashlar({"embed", fixture_model("bert"), "x", "--jsonl"}), 2),
              HasSubstr("--jsonl is for the lines of --file"));
  EXPECT_THAT(complaint(ashlar({"embed", fixture_model("bert"), "x", "--dimensions", "65"}), 1),
              HasSubstr("--dimensions: 65 asked for, the model has 64"));
  EXPECT_THAT(complaint(ashlar({"run", fixture_model("bert"), "x"}), 1),
              HasSubstr("is an encoder (bert)"));
}

TEST(EmbedTest, LongTextsAreCutAndSaidToBe) {
  const testing::ProgramResult result =
      ashlar({"embed", fixture_model("bert"), "one two three four five", "--max-tokens", "4"});
  EXPECT_EQ(result.exit_code, 0);
  EXPECT_THAT(result.err, HasSubstr("event=cut texts=1 of=1 max_tokens=4"));
}

}  // namespace
}  // namespace ashlar::cli
