// Every normalizer and pre-tokenizer over code points, by the hashes of what Hugging Face
// tokenizers makes of them (tests/oracles/tokenizer_points.py --write).
#include "ashlar/base/utf8.h"
#include "tests/base/paths.h"
#include "tests/text/fnv.h"
#include "tests/text/stages.h"

#include <gtest/gtest.h>
#include <nlohmann/json.hpp>

#include <array>
#include <fstream>

namespace ashlar::text {
namespace {

TEST(CodePoints, AsTheReferenceNormalizesAndCutsThem) {
  std::ifstream file(test_data("tokenizers/code_points.json"));
  const auto goldens = nlohmann::json::parse(file);
  std::vector<std::string> texts;
  for (const auto& [first, last, step] :
       goldens.at("points").get<std::vector<std::array<char32_t, 3>>>()) {
    for (char32_t code = first; code <= last; code += step) {
      if (code >= 0xD800 && code <= 0xDFFF) continue;
      std::string c;
      append_utf8(c, code);
      texts.push_back(c);
      texts.push_back("a" + c + "b");
    }
  }
  EXPECT_GT(texts.size(), 6000u);
  for (const auto& golden : goldens.at("stages")) {
    const Stage stage(golden.at("stage").dump());
    Fnv hash;
    for (const std::string& text : texts) hash.add(stage.pieces(text));
    EXPECT_EQ(hash.text(), golden.at("hash").get<std::string>()) << golden.at("stage");
  }
}

}  // namespace
}  // namespace ashlar::text
