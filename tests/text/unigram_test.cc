// Unigram by hand and against all ways to cut; files that are wrong.
#include "ashlar/base/error.h"
#include "ashlar/text/tokenizer.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <algorithm>
#include <cmath>
#include <map>
#include <random>

namespace ashlar::text {
namespace {

using Json = nlohmann::json;
using Ids = std::vector<int32_t>;
using testing::HasSubstr;

Json model_of(const Json& vocab) { return {{"type", "Unigram"}, {"unk_id", 0}, {"vocab", vocab}}; }

Tokenizer tokenizer_of(const Json& vocab) {
  return Tokenizer::from_json(Json::object({{"model", model_of(vocab)}}).dump(), "t.json");
}

std::string error_of(const Json& file) {
  try {
    Tokenizer::from_json(file.dump(), "t.json");
  } catch (const Error& error) {
    return error.what();
  }
  return "no Error";
}

TEST(Unigram, TakesTheBestSumNotTheLongestToken) {
  const Tokenizer tokenizer =
      tokenizer_of(R"([["<unk>", 0], ["ab", -1], ["abc", -4], ["c", -2], ["bc", -2.5]])"_json);
  EXPECT_EQ(tokenizer.encode("abc", false), (Ids{1, 3}));  // -3 against -4 of one token
  EXPECT_EQ(tokenizer.encode("abbc", false), (Ids{1, 4}));
  EXPECT_EQ(tokenizer.encode("xyabz", false), (Ids{0, 1, 0}));  // unknown neighbours are one
}

TEST(Unigram, AgreesWithATryOfAllCuts) {
  std::mt19937 random(7);
  Json vocab = R"([["<unk>", 0], ["a", -2], ["b", -2.25]])"_json;
  std::map<std::string, double> scores = {{"a", -2.0}, {"b", -2.25}};
  for (int i = 0; i < 24; ++i) {
    std::string token(2 + random() % 4, 'a');
    for (char& c : token) c = random() % 2 ? 'a' : 'b';
    const double score = -2.0 - static_cast<double>(random() % 4096) / 1024;
    if (scores.emplace(token, score).second) vocab.push_back(Json::array({token, score}));
  }
  const Tokenizer tokenizer = tokenizer_of(vocab);
  for (int trial = 0; trial < 50; ++trial) {
    std::string text(1 + random() % 12, 'a');
    for (char& c : text) c = random() % 2 ? 'a' : 'b';
    double best = -INFINITY;
    for (uint32_t cuts = 0; cuts < 1U << (text.size() - 1); ++cuts) {
      double sum = 0;
      size_t begin = 0;
      for (size_t at = 1; at <= text.size(); ++at) {
        if (at < text.size() && (cuts >> (at - 1) & 1) == 0) continue;
        const auto found = scores.find(text.substr(begin, at - begin));
        sum += found == scores.end() ? -INFINITY : found->second;
        begin = at;
      }
      best = std::max(best, sum);
    }
    double sum = 0;
    std::string joined;
    for (const int32_t id : tokenizer.encode(text, false)) {
      joined += *tokenizer.id_to_token(id);
      sum += scores.at(std::string(*tokenizer.id_to_token(id)));
    }
    EXPECT_EQ(joined, text);
    EXPECT_NEAR(sum, best, 1e-9) << text;
  }
}

TEST(Unigram, ALongTextTakesTimeThatGrowsWithIt) {
  Json vocab = R"([["<unk>", 0]])"_json;
  for (size_t length = 1; length <= 64; ++length)
    vocab.push_back(Json::array({std::string(length, 'a'), -1.0}));
  const Tokenizer tokenizer = tokenizer_of(vocab);
  EXPECT_EQ(tokenizer.encode(std::string(64'000, 'a'), false).size(), 1000u);
}

// A token of thousands of characters, met from every place of a word without a blank.
TEST(Unigram, ALongTokenCostsNoWalkFromEveryPlace) {
  Json vocab = R"([["<unk>", 0], ["a", -1]])"_json;
  vocab.push_back(Json::array({std::string(3000, 'a'), -2.0}));
  const Tokenizer tokenizer = tokenizer_of(vocab);
  EXPECT_EQ(tokenizer.encode(std::string(300'000, 'a'), false), Ids(100, 2));
}

// Long tokens change how cuts are found, and no cut: unknown characters, ties, accents.
TEST(Unigram, ALongTokenChangesNoOtherCut) {
  std::mt19937 random(3);
  const std::vector<std::string> letters = {"a", "b", "\u00e9", "\U0001F642", "z"};
  const auto text_of = [&](size_t characters) {
    std::string text;
    for (size_t i = 0; i < characters; ++i) text += letters[random() % letters.size()];
    return text;
  };
  for (int trial = 0; trial < 20; ++trial) {
    Json vocab = R"([["<unk>", 0], ["a", -2], ["\u00e9", -2]])"_json;
    for (int i = 0; i < 30; ++i) {
      vocab.push_back(Json::array({text_of(2 + random() % 4), -1.0 - double(random() % 8)}));
    }
    const Tokenizer walks = tokenizer_of(vocab);
    vocab.push_back(Json::array({std::string(100, 'b'), -1.0}));
    const Tokenizer links = tokenizer_of(vocab);
    for (int i = 0; i < 20; ++i) {
      const std::string text = text_of(1 + random() % 40);
      EXPECT_EQ(links.encode(text, false), walks.encode(text, false)) << text;
    }
  }
}

TEST(Unigram, OfEqualTokensTheLastCounts) {
  const Tokenizer tokenizer =
      tokenizer_of(R"([["<unk>", 0], ["a", -1], ["b", -2], ["ab", -4.5], ["a", -3]])"_json);
  EXPECT_EQ(tokenizer.encode("ab", false), Ids{3});  // -4.5, and not -1 - 2
  EXPECT_EQ(tokenizer.encode("aa", false), (Ids{4, 4}));
  EXPECT_EQ(tokenizer.decode(Ids{1, 4, 2}, false), "a a b");
  EXPECT_EQ(tokenizer.vocab_size(), 5);
}

TEST(Unigram, RefusesWhatItCannotRead) {
  const auto error_with = [](const char* key, const Json& value) {
    Json model = model_of(R"([["<unk>", 0], ["a", -1]])"_json);
    model[key] = value;
    return error_of({{"model", model}});
  };
  EXPECT_THAT(error_with("vocab", R"([["a", -1, 2]])"_json),
              HasSubstr("wanted a token and its score"));
  EXPECT_THAT(error_with("unk_id", 2), HasSubstr("model.unk_id"));
  EXPECT_THAT(error_with("alpha", 0.1), HasSubstr("sampling makes ids random"));
  Json model = model_of(R"([["a", -1]])"_json);
  model.erase("unk_id");
  const Tokenizer tokenizer =
      Tokenizer::from_json(Json::object({{"model", model}}).dump(), "t.json");
  EXPECT_EQ(tokenizer.encode("aa", false), (Ids{0, 0}));
  EXPECT_THROW(tokenizer.encode("ab", false), Error);
}

TEST(Precompiled, RefusesWhatItCannotRead) {
  const auto error_with = [](const std::string& charsmap) {
    return error_of({{"normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", charsmap}}},
                     {"model", model_of(R"([["<unk>", 0]])"_json)}});
  };
  EXPECT_THAT(error_with("abc"), HasSubstr("its length is no multiple of 4"));
  EXPECT_THAT(error_with("ab*d"), HasSubstr("it holds '*'"));
  EXPECT_THAT(error_with(""), HasSubstr("a trie of 0 bytes does not fit into 0"));
  EXPECT_THAT(error_with("/////wAA"), HasSubstr("a trie of 4294967295 bytes does not fit into 6"));
}

// A trie whose entries point anywhere must neither read beyond it nor give text that is not UTF-8.
TEST(Precompiled, SurvivesATrieOfNoise) {
  std::mt19937 random(11);
  constexpr std::string_view kDigits =
      "ABCDEFGHIJKLMNOPQRSTUVWXYZabcdefghijklmnopqrstuvwxyz0123456789+/";
  std::string charsmap = "AAEAAAAA";  // a trie of 256 bytes, two of which are here
  while (charsmap.size() < 344) charsmap.push_back(kDigits[random() % 64]);
  charsmap.append(16, 'A');  // up to its end, and replacements of NULs
  const Tokenizer tokenizer = Tokenizer::from_json(
      Json{{"normalizer", {{"type", "Precompiled"}, {"precompiled_charsmap", charsmap}}},
           {"model", model_of(R"([["<unk>", 0]])"_json)}}
          .dump(),
      "t.json");
  std::string text;
  for (char32_t c = 1; c < 0x300; ++c) {
    text.push_back(c < 0x80 ? static_cast<char>(c) : static_cast<char>(0xC0 | c >> 6));
    if (c >= 0x80) text.push_back(static_cast<char>(0x80 | (c & 0x3F)));
  }
  EXPECT_LE(tokenizer.encode(text, false).size(), 1u);
}

}  // namespace
}  // namespace ashlar::text
