// The tokenizer sections of the golden models, made with Hugging Face tokenizers: both directions.
#include "ashlar/text/tokenizer.h"
#include "tests/base/paths.h"
#include "tests/text/streamed.h"

#include <nlohmann/json.hpp>

#include <fstream>

#include "gtest/gtest.h"

namespace ashlar::text {
namespace {

class Golden : public testing::TestWithParam<const char*> {
 protected:
  std::string folder() const { return test_data(GetParam()); }
  nlohmann::json cases() const {
    std::ifstream file(folder() + "/golden.json");
    return nlohmann::json::parse(file).at("tokenizer");
  }
  Tokenizer tokenizer_ = Tokenizer::from_json_file(folder() + "/tokenizer.json");
};

TEST_P(Golden, EncodesAndDecodes) {
  const nlohmann::json all = cases();
  ASSERT_GE(all.size(), 20u);
  for (const auto& item : all) {
    const auto text = item.at("text").get<std::string>();
    const auto ids = item.at("ids").get<std::vector<int32_t>>();
    const auto plain = item.at("ids_no_special").get<std::vector<int32_t>>();
    EXPECT_EQ(tokenizer_.encode(text, true), ids) << text;
    EXPECT_EQ(tokenizer_.encode(text, false), plain) << text;
    EXPECT_EQ(tokenizer_.decode(plain, false), item.at("decoded").get<std::string>()) << text;
  }
}

TEST_P(Golden, DetokenizesTheSameTextIdById) {
  for (const auto& item : cases()) {
    const auto ids = item.at("ids").get<std::vector<int32_t>>();
    for (const bool skip : {false, true}) {
      EXPECT_EQ(streamed(tokenizer_, ids, skip), tokenizer_.decode(ids, skip));
    }
  }
}

TEST_P(Golden, SavesWhatItRead) {
  const std::string path = testing::TempDir() + "/saved_tokenizer.json";
  tokenizer_.save(path);
  const Tokenizer again = Tokenizer::from_json_file(path);
  for (const auto& item : cases()) {
    const auto text = item.at("text").get<std::string>();
    EXPECT_EQ(again.encode(text, true), tokenizer_.encode(text, true));
  }
}

INSTANTIATE_TEST_SUITE_P(
    Models, Golden,
    testing::Values("models/gpt2", "models/llama", "models/llama2", "tokenizers/qwen2",
                    "tokenizers/bert"),
    [](const auto& model) {
      return std::string(model.param).substr(std::string(model.param).find('/') + 1);
    });

}  // namespace
}  // namespace ashlar::text
