// Every kind of normalizer, pre-tokenizer, post-processor, decoder and added token against what
// Hugging Face tokenizers makes of the same tokenizer.json (tests/oracles/tokenizer_components.py).
#include "ashlar/text/tokenizer.h"
#include "tests/base/paths.h"
#include "tests/text/streamed.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <fstream>

namespace ashlar::text {
namespace {

using Ids = std::vector<int32_t>;

nlohmann::json goldens() {
  std::ifstream file(test_data("tokenizers/components.json"));
  return nlohmann::json::parse(file);
}

// What distinguishes the golden, for messages.
std::string title(const nlohmann::json& tokenizer) {
  std::string out;
  for (const char* key : {"normalizer", "pre_tokenizer", "post_processor", "decoder", "truncation",
                          "padding", "added_tokens"}) {
    if (!tokenizer.at(key).empty()) out += tokenizer.at(key).dump() + " ";
  }
  return out;
}

TEST(Components, EncodeAsTheReference) {
  int checked = 0;
  for (const auto& golden : goldens()) {
    SCOPED_TRACE(title(golden.at("tokenizer")));
    const Tokenizer tokenizer = Tokenizer::from_json(golden.at("tokenizer").dump(), "golden");
    for (const auto& item : golden.at("cases")) {
      const auto text = item.at("text").get<std::string>();
      SCOPED_TRACE(text);
      const Encoding encoding = tokenizer.encode_with_types(text, true);
      EXPECT_EQ(encoding.ids, item.at("ids").get<Ids>());
      EXPECT_EQ(encoding.type_ids, item.at("type_ids").get<Ids>());
      EXPECT_EQ(tokenizer.encode(text, true), encoding.ids);
      const auto decoded = item.at("decoded").get<std::string>();
      EXPECT_EQ(tokenizer.decode(encoding.ids, true), decoded);
      EXPECT_EQ(streamed(tokenizer, encoding.ids, true), decoded);
      if (item.contains("pair")) {
        const Encoding pair = tokenizer.encode_pair(text, "x", true);
        EXPECT_EQ(pair.ids, item.at("pair").get<Ids>());
        EXPECT_EQ(pair.type_ids, item.at("pair_type_ids").get<Ids>());
      }
      ++checked;
    }
  }
  EXPECT_GT(checked, 400);
}

TEST(Components, DecodeAsTheReference) {
  int checked = 0;
  for (const auto& golden : goldens()) {
    if (!golden.contains("decodes")) continue;
    SCOPED_TRACE(title(golden.at("tokenizer")));
    const Tokenizer tokenizer = Tokenizer::from_json(golden.at("tokenizer").dump(), "golden");
    for (const auto& item : golden.at("decodes")) {
      const auto ids = item.at("ids").get<Ids>();
      EXPECT_EQ(tokenizer.decode(ids, true), item.at("decoded").get<std::string>()) << ids.size();
      EXPECT_EQ(streamed(tokenizer, ids, true), item.at("decoded").get<std::string>())
          << ids.size();
      ++checked;
    }
  }
  EXPECT_GT(checked, 50);
}

}  // namespace
}  // namespace ashlar::text
