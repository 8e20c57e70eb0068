// Learning word pieces: by hand on a small text, and what the learnt tokenizer does.
#include "ashlar/text/training/word_piece_trainer.h"

#include "ashlar/base/error.h"

#include <gmock/gmock.h>

namespace ashlar::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

std::string repeated(const std::string& word, int times) {
  std::string text;
  for (int i = 0; i < times; ++i) text += word + " ";
  return text;
}

Tokenizer learn(const std::string& text, WordPieceTrainOptions options) {
  WordPieceTrainer trainer(std::move(options));
  trainer.feed(text);
  return trainer.train();
}

const std::string kHugs = repeated("hug", 10) + repeated("pug", 5) + repeated("pun", 12) +
                          repeated("bun", 4) + repeated("hugs", 5);

std::vector<std::string> tokens_from(const Tokenizer& tokenizer, int32_t first) {
  std::vector<std::string> tokens;
  for (int32_t id = first; id < tokenizer.vocab_size(); ++id) {
    tokens.emplace_back(*tokenizer.id_to_token(id));
  }
  return tokens;
}

TEST(WordPieceTrainer, MergesTheMostFrequentPairs) {
  // Pairs: ##u ##g 20, p ##u 17, ##u ##n 16, h ##u 15; then h ##ug 15, p ##un 12.
  const Tokenizer tokenizer = learn(kHugs, {.vocab_size = 20});
  EXPECT_THAT(tokens_from(tokenizer, 5),
              ElementsAre("b", "g", "h", "n", "p", "s", "u", "##u", "##n", "##g", "##s", "##ug",
                          "##un", "hug", "pun"));
}

TEST(WordPieceTrainer, TheLearntTokenizerIsBerts) {
  const Tokenizer tokenizer = learn(kHugs, {.vocab_size = 20});
  const auto id = [&](const char* token) { return *tokenizer.token_to_id(token); };
  EXPECT_THAT(tokenizer.encode("Hugs, BUN", true),
              ElementsAre(id("[CLS]"), id("hug"), id("##s"), id("[UNK]"), id("b"), id("##un"),
                          id("[SEP]")));
  EXPECT_EQ(tokenizer.decode(tokenizer.encode("hugs pun", true), true), "hugs pun");
  const Encoding pair = tokenizer.encode_pair("hug", "pun", true);
  EXPECT_THAT(pair.type_ids, ElementsAre(0, 0, 0, 1, 1));
}

TEST(WordPieceTrainer, CaseCanStay) {
  const Tokenizer tokenizer = learn("Ab Ab ab", {.vocab_size = 40, .lower_case = false});
  EXPECT_TRUE(tokenizer.token_to_id("Ab"));
  EXPECT_FALSE(tokenizer.token_to_id("ab"));  // met once
}

TEST(WordPieceTrainer, ASmallVocabularyKeepsTheMostFrequentCharacters) {
  const Tokenizer tokenizer = learn("aaa bbb b c", {.vocab_size = 7});
  EXPECT_EQ(tokenizer.vocab_size(), 7);
  EXPECT_TRUE(tokenizer.token_to_id("a"));
  EXPECT_TRUE(tokenizer.token_to_id("b"));
}

TEST(WordPieceTrainer, AnyBytesWillDo) {
  const Tokenizer tokenizer = learn(
      "ab\xFF"
      "ab \xC3",
      {.vocab_size = 30});
  EXPECT_FALSE(tokenizer.encode("ab", false).empty());
}

TEST(WordPieceTrainer, RefusesOptionsByName) {
  const auto error_of = [](const WordPieceTrainOptions& options) -> std::string {
    try {
      options.validate();
    } catch (const Error& error) {
      return error.what();
    }
    return "no Error";
  };
  EXPECT_EQ(error_of({}), "no Error");
  EXPECT_THAT(error_of({.special_tokens = {"[UNK]", "[CLS]"}}),
              HasSubstr("need the special token [SEP]"));
  EXPECT_THAT(error_of({.special_tokens = {"[UNK]", "[UNK]"}}), HasSubstr("given twice"));
  EXPECT_THAT(error_of({.vocab_size = 5}), HasSubstr("vocab_size 5 is not above 5"));
  EXPECT_THAT(error_of({.min_frequency = 0}), HasSubstr("min_frequency 0"));
}

}  // namespace
}  // namespace ashlar::text
