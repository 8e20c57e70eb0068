#include "ashlar/base/atomic_file.h"
#include "tests/cli/program.h"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::cli {
namespace {

using ::testing::HasSubstr;

TEST(TokenizeTest, EncodesAsTheGoldensSay) {
  const testing::TempDir folder;
  const std::string file = folder.path("text");
  for (const char* model : {"gpt2", "llama"}) {
    const Json cases = golden(model)["tokenizer"];
    for (size_t i = 0; i < cases.size(); i += 5) {  // all of them are in tests/text
      write_file(file, cases[i]["text"].get<std::string>());
      const std::vector<std::string> command = {"tokenize", "encode", fixture_model(model),
                                                "--file", file};
      EXPECT_EQ(ashlar_json(command)["ids"], cases[i]["ids"]) << cases[i]["text"];
      auto plain = command;
      plain.push_back("--no-special");
      EXPECT_EQ(ashlar_json(plain)["ids"], cases[i]["ids_no_special"]) << cases[i]["text"];
    }
  }
}

TEST(TokenizeTest, DecodesIdsFromFlagAndPipe) {
  const Json item = golden("llama")["tokenizer"][2];
  const std::string ids = join_ids(item["ids_no_special"]);
  const std::string model = fixture_model("llama");
  EXPECT_EQ(ashlar_json({"tokenize", "decode", model, "--ids", ids})["text"], item["decoded"]);
  const testing::ProgramResult piped =
      ashlar({"tokenize", "decode", model, "--json"}, {.stdin_text = "[" + ids + "]\n"});
  EXPECT_EQ(Json::parse(piped.out)["text"], item["decoded"]);
}

TEST(TokenizeTest, LearnsWordPieces) {
  const testing::TempDir folder;
  std::string text;
  for (int i = 0; i < 200; ++i) text += "The cat sat on the mat, the dog on the log\n";
  write_file(folder.path("corpus.txt"), text);
  const Json learnt = ashlar_json({"tokenize", "train", folder.path("corpus.txt"), "--kind",
                                   "wordpiece", "--vocab-size", "60", "--out", folder.path()});
  EXPECT_LE(learnt["vocab_size"], 60);
  write_file(folder.path("new.txt"), "the dog sat");
  const Json ids = ashlar_json({"tokenize", "encode", folder.path("tokenizer.json"), "--file",
                                folder.path("new.txt")})["ids"];
  EXPECT_EQ(ids.size(), 5u);  // [CLS] and [SEP] around whole words
  EXPECT_THAT(complaint(ashlar({"tokenize", "train", folder.path("corpus.txt"), "--kind",
                                "wordpiece", "--begin", "[CLS]"}),
                        2),
              HasSubstr("--begin is for --kind bpe"));
}

TEST(TokenizeTest, ShowsWhatTruncationCutsOff) {
  const testing::TempDir folder;
  write_file(folder.path("tokenizer.json"), R"({
      "model": {"type": "WordLevel", "vocab": {"a": 0, "b": 1, "c": 2, "d": 3, "[C]": 4},
                "unk_token": "a"},
      "pre_tokenizer": {"type": "WhitespaceSplit"},
      "post_processor": {"type": "BertProcessing", "cls": ["[C]", 4], "sep": ["[C]", 4]},
      "truncation": {"max_length": 5, "stride": 1, "strategy": "LongestFirst",
                     "direction": "Right"}})");
  write_file(folder.path("a.txt"), "a b c d a b");
  const std::vector<std::string> command = {
      "tokenize",           "encode",   folder.path("tokenizer.json"), "--file",
      folder.path("a.txt"), "--windows"};
  EXPECT_EQ(ashlar(command).out, "4 0 1 2 4\n4 2 3 0 4\n4 0 1 4\n");
  EXPECT_EQ(ashlar_json(command)["windows"],
            Json({{4, 0, 1, 2, 4}, {4, 2, 3, 0, 4}, {4, 0, 1, 4}}));
}

TEST(TokenizeTest, LearnsUnigram) {
  const testing::TempDir folder;
  std::string text;
  for (int i = 0; i < 200; ++i) text += "the cat sat on the mat, the dog on the log\n";
  write_file(folder.path("corpus.txt"), text);
  const Json learnt = ashlar_json({"tokenize", "train", folder.path("corpus.txt"), "--kind",
                                   "unigram", "--vocab-size", "40", "--out", folder.path()});
  EXPECT_LE(learnt["vocab_size"], 40);
  write_file(folder.path("new.txt"), "the dog sat");
  const std::string file = folder.path("tokenizer.json");
  const Json ids =
      ashlar_json({"tokenize", "encode", file, "--file", folder.path("new.txt")})["ids"];
  EXPECT_EQ(ids.size(), 3u);
  EXPECT_EQ(ashlar_json({"tokenize", "decode", file, "--ids", join_ids(ids)})["text"],
            "the dog sat");
  EXPECT_THAT(complaint(ashlar({"tokenize", "train", folder.path("corpus.txt"), "--kind", "unigram",
                                "--cased"}),
                        2),
              HasSubstr("--cased is for --kind wordpiece"));
}

TEST(TokenizeTest, LearnsATokenizerThatReadsItsText) {
  const testing::TempDir folder;
  std::string text;
  for (int i = 0; i < 200; ++i) text += "the cat sat on the mat, the dog on the log\n";
  write_file(folder.path("corpus.txt"), text);
  const Json learnt = ashlar_json({"tokenize", "train", folder.path("corpus.txt"), "--vocab-size",
                                   "280", "--out", folder.path()});
  EXPECT_EQ(learnt["file"], folder.path("tokenizer.json"));
  EXPECT_GT(learnt["vocab_size"], 257);
  EXPECT_LE(learnt["vocab_size"], 280);
  write_file(folder.path("new.txt"), "the dog sat");
  const Json ids =
      ashlar_json({"tokenize", "encode", folder.path(), "--file", folder.path("new.txt")})["ids"];
  EXPECT_LT(ids.size(), 11u);  // fewer tokens than bytes: something was learnt
  EXPECT_EQ(ashlar_json({"tokenize", "decode", folder.path(), "--ids", join_ids(ids)})["text"],
            "the dog sat");
}

TEST(TokenizeTest, WhatCannotBeLearntOrWrittenIsSaidBeforeReading) {
  const testing::TempDir folder;
  const std::string corpus = folder.path("corpus.txt");
  write_file(corpus, "the cat sat on the mat\n");
  for (const char* kind : {"bpe", "wordpiece", "unigram"}) {
    EXPECT_THAT(
        complaint(ashlar({"tokenize", "train", corpus, "--kind", kind, "--vocab-size", "2"}), 2),
        HasSubstr("vocab_size 2 is not"));
    const testing::ProgramResult lost =
        ashlar({"tokenize", "train", corpus, "--kind", kind, "--out", "/no/such/t.json"});
    EXPECT_THAT(complaint(lost, 1), HasSubstr("there is no folder /no/such; make it first"));
  }
}

TEST(TokenizeTest, BadIdsAndFiles) {
  const std::string model = fixture_model("llama");
  EXPECT_THAT(
      complaint(ashlar({"tokenize", "decode", model, "--ids", "1,512"}), 1),
      HasSubstr("token id 512 at position 1 is beyond the vocabulary: ids go from 0 to 511"));
  EXPECT_THAT(complaint(ashlar({"tokenize", "decode", model, "--ids", "1,x"}), 2),
              HasSubstr("'x' is not a token id"));
  EXPECT_THAT(complaint(ashlar({"tokenize", "encode", model, "--file", "/no/such"}), 1),
              HasSubstr("/no/such: No such file or directory"));
  EXPECT_THAT(complaint(ashlar({"tokenize", "encode", "/no/model"}), 1), HasSubstr("/no/model"));
  EXPECT_THAT(complaint(ashlar({"tokenize", "train", "/no/data", "--out", "/dev/null"}), 1),
              HasSubstr("/no/data: no such file or folder"));
}

}  // namespace
}  // namespace ashlar::cli
