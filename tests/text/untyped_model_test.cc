// Models of tokenizer.json files that do not say their type, as old ones; the expected ids are
// those of the tokenizers library.
#include "ashlar/text/tokenizer.h"
#include "tests/base/messages.h"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

namespace ashlar::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tokenizer tokenizer_with(const std::string& model) {
  return Tokenizer::from_json(
      fmt::format(R"({{"version": "1.0", "added_tokens": [], "normalizer": null,
                       "pre_tokenizer": {{"type": "Whitespace"}}, "post_processor": null,
                       "decoder": null, "model": {}}})",
                  model),
      "t.json");
}

TEST(UntypedModel, IsWhatItsMembersFit) {
  const auto ids = [](const std::string& model) {
    return tokenizer_with(model).encode("hello ab c", false);
  };
  EXPECT_THAT(ids(R"({"unk_token": "[UNK]", "continuing_subword_prefix": "##",
                      "max_input_chars_per_word": 100,
                      "vocab": {"[UNK]": 0, "hello": 1, "a": 2, "##b": 3}})"),
              ElementsAre(1, 2, 3, 0));
  EXPECT_THAT(ids(R"({"unk_token": "[UNK]", "vocab": {"[UNK]": 0, "hello": 1, "a": 2}})"),
              ElementsAre(1, 0, 0));
  EXPECT_THAT(ids(R"({"unk_id": 0, "vocab": [["<unk>", 0], ["hello", -1], ["a", -2], ["b", -3]]})"),
              ElementsAre(1, 2, 3, 0));
  EXPECT_THAT(ids(R"({"merges": ["a b"], "unk_token": "?", "vocab": {"?": 0, "a": 1, "b": 2,
                      "ab": 3, "c": 4}})"),
              ElementsAre(0, 0, 0, 0, 0, 3, 4));
  try {
    ids(R"({"vocab": {"a": 0}})");
    FAIL() << "not refused";
  } catch (const Error& error) {
    EXPECT_THAT(error.what(), HasSubstr("model: has no key \"type\", and is like no model"));
  }
}

}  // namespace
}  // namespace ashlar::text
