// One text and pairs through post-processors, truncation and padding, beside the reference.
#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/text/tokenizer.h"
#include "tests/base/paths.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

namespace ashlar::text {
namespace {

using Json = nlohmann::json;

Encoding encode(const Tokenizer& tokenizer, const Json& item) {
  const auto texts = item.at("texts").get<std::vector<std::string>>();
  const bool special = item.at("special").get<bool>();
  return texts.size() == 1 ? tokenizer.encode_with_types(texts[0], special)
                           : tokenizer.encode_pair(texts[0], texts[1], special);
}

TEST(Pairs, AreEncodedAsTheReferenceDoes) {
  int refused = 0;
  for (const Json& golden : Json::parse(read_file(test_data("tokenizers/pairs.json")))) {
    const std::string text = golden.at("tokenizer").dump();
    const Tokenizer tokenizer = Tokenizer::from_json(text, "pairs.json");
    for (const Json& item : golden.at("cases")) {
      if (!item.contains("ids")) {
        EXPECT_THROW(encode(tokenizer, item), Error) << text << "\n" << item;
        ++refused;
        continue;
      }
      const Encoding encoding = encode(tokenizer, item);
      EXPECT_EQ(encoding.ids, item.at("ids").get<std::vector<int32_t>>()) << text << "\n" << item;
      EXPECT_EQ(encoding.type_ids, item.at("type_ids").get<std::vector<int32_t>>()) << text << "\n"
                                                                                    << item;
    }
  }
  EXPECT_GT(refused, 5);
}

TEST(Pairs, WhatIsRefusedIsSaid) {
  const auto error_of = [](const std::string& truncation, bool pair) -> std::string {
    try {
      const Tokenizer tokenizer = Tokenizer::from_json(
          R"({"model": {"type": "WordLevel", "vocab": {"a": 0}, "unk_token": "a"},
              "pre_tokenizer": {"type": "WhitespaceSplit"}, "truncation": {"max_length": 2, )" +
              truncation + "}}",
          "t.json");
      pair ? tokenizer.encode_pair("a a a", "a", true) : tokenizer.encode_with_types("a a a", true);
    } catch (const Error& error) {
      return error.what();
    }
    return "no Error";
  };
  EXPECT_EQ(error_of(R"("strategy": "LongestFirst")", true), "no Error");
  EXPECT_EQ(error_of(R"("strategy": "OnlySecond")", false),
            "truncation of the second text only (OnlySecond), and there is just one text");
  EXPECT_EQ(error_of(R"("strategy": "OnlySecond")", true),
            "truncation to 2 tokens has to cut 2 off the second text, which has 1");
  EXPECT_EQ(error_of(R"("strategy": "Odd")", false),
            "t.json: truncation.strategy: wanted \"LongestFirst\", \"OnlyFirst\" or "
            "\"OnlySecond\"");
}

}  // namespace
}  // namespace ashlar::text
