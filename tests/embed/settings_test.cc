#include "ashlar/embed/settings.h"

#include "ashlar/base/error.h"
#include "tests/embed/embedding_folder.h"

#include <gmock/gmock.h>

#include <functional>

namespace ashlar::embed {
namespace {

using testing::EmbeddingFolder;
using ::testing::HasSubstr;

std::string error_of(const std::function<void()>& act) {
  try {
    act();
  } catch (const Error& error) {
    return error.what();
  }
  return "no Error";
}

TEST(Settings, WithoutFilesAnEncoderTakesTheMeanAndADecoderTheLast) {
  const EmbeddingFolder folder("bert");
  EXPECT_FALSE(has_modules(folder.path()));
  EXPECT_EQ(read_settings(folder.path(), true), EmbeddingSettings());
  EXPECT_EQ(read_settings(folder.path(), false).pooling, Pooling::kLast);
}

TEST(Settings, AreThoseOfSentenceTransformers) {
  const EmbeddingFolder folder("bert");
  folder.write_modules(R"({"word_embedding_dimension": 64, "pooling_mode_cls_token": true,
                           "pooling_mode_mean_tokens": false})",
                       true);
  write_file(folder.path() + "/sentence_bert_config.json",
             R"({"max_seq_length": 20, "do_lower_case": true})");
  write_file(folder.path() + "/config_sentence_transformers.json",
             R"({"prompts": {"query": "find: "}, "default_prompt_name": "query"})");
  EXPECT_TRUE(has_modules(folder.path()));
  EXPECT_EQ(read_settings(folder.path(), true),
            (EmbeddingSettings{Pooling::kCls, true, 20, true, "find: "}));
  folder.write_modules(R"({"embedding_dimension": 64, "pooling_mode": "lasttoken"})", false);
  EXPECT_EQ(read_settings(folder.path(), true).pooling, Pooling::kLast);
  EXPECT_FALSE(read_settings(folder.path(), true).normalize);
}

// Where sentence-transformers has no length of its own it takes the tokenizer's.
TEST(Settings, TheLongestTextMayBeTheTokenizers) {
  const EmbeddingFolder folder("bert");
  const auto longest = [&](const char* config) {
    write_file(folder.path() + "/tokenizer_config.json", config);
    return read_settings(folder.path(), true).max_tokens;
  };
  EXPECT_EQ(longest(R"({"model_max_length": 30})"), 30);
  EXPECT_EQ(longest(R"({"model_max_length": 1000000000000000019884624838656})"), 0);  // "none"
  write_file(folder.path() + "/sentence_bert_config.json", R"({"max_seq_length": 20})");
  EXPECT_EQ(longest(R"({"model_max_length": 30})"), 20);
}

TEST(Settings, WhatIsNotKnownIsRefused) {
  const EmbeddingFolder folder("bert");
  const auto error_with = [&](const std::string& pooling) {
    folder.write_modules(pooling, false);
    return error_of([&] { read_settings(folder.path(), true); });
  };
  EXPECT_THAT(error_with(R"({"pooling_mode": "mystery"})"), HasSubstr("known ('mystery')"));
  EXPECT_THAT(error_with(R"({"pooling_mode_cls_token": true, "pooling_mode_max_tokens": true})"),
              HasSubstr("more than one kind of pooling"));
  EXPECT_THAT(error_with(R"({"pooling_mode_cls_token": 3})"),
              HasSubstr("pooling_mode_cls_token is 3, wanted boolean"));
  EXPECT_THAT(error_with("[]"), HasSubstr("wanted a JSON object"));
  EXPECT_THAT(error_with(R"({"pooling_mode": "mean", "include_prompt": false})"),
              HasSubstr("include_prompt = false (a prompt that is read but not pooled)"));
  write_file(folder.path() + "/modules.json",
             R"([{"path": "2_Dense", "type": "sentence_transformers.models.Dense"}])");
  EXPECT_THAT(error_of([&] { read_settings(folder.path(), true); }),
              HasSubstr("module 'Dense' in '2_Dense' is not supported"));
}

}  // namespace
}  // namespace ashlar::embed
