// Learning Unigram: seeds by the definition, probabilities that rise, and what the learnt tokenizer
// does.
#include "ashlar/text/training/unigram_trainer.h"

#include "ashlar/base/error.h"
#include "ashlar/base/file.h"
#include "ashlar/text/training/unigram_fit.h"
#include "tests/base/paths.h"
#include "tests/text/random_text.h"

#include <gmock/gmock.h>
#include <nlohmann/json.hpp>

#include <cmath>
#include <map>

namespace ashlar::text {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

Tokenizer learn(std::string_view text, UnigramTrainOptions options) {
  UnigramTrainer trainer(std::move(options));
  trainer.feed(text);
  return trainer.train();
}

// Words of the letters a, b and of an accent, some of them often.
std::vector<CountedWord> random_words(uint64_t seed) {
  const RandomStream random(seed, "words");
  std::map<std::string, int64_t> words;
  for (uint64_t i = 0; i < 40; ++i) {
    std::string word = "_";
    const uint64_t letters = random.below(100 * i, 7);
    for (uint64_t k = 0; k < letters; ++k) {
      const char* const choices[] = {"a", "b", "\u00e9"};
      word += choices[random.below(100 * i + k + 2, 3)];
    }
    words[word] += 1 + static_cast<int64_t>(random.below(100 * i + 1, 3));
  }
  std::vector<CountedWord> result;
  for (const auto& [text, count] : words) result.push_back({text, count});
  return result;
}

// Every substring of whole characters with how often it stands in the words.
std::map<std::string, int64_t> all_substrings(const std::vector<CountedWord>& words) {
  std::map<std::string, int64_t> counts;
  for (const CountedWord& word : words) {
    std::vector<size_t> bounds;
    for (size_t at = 0; at <= word.text.size(); ++at) {
      if (at == word.text.size() || (static_cast<unsigned char>(word.text[at]) & 0xC0) != 0x80) {
        bounds.push_back(at);
      }
    }
    for (size_t i = 0; i < bounds.size(); ++i) {
      for (size_t j = i + 1; j < bounds.size(); ++j) {
        counts[word.text.substr(bounds[i], bounds[j] - bounds[i])] += word.count;
      }
    }
  }
  return counts;
}

TEST(UnigramSeed, IsWhatTheDefinitionSays) {
  for (uint64_t seed = 0; seed < 20; ++seed) {
    const std::vector<CountedWord> words = random_words(seed);
    const std::map<std::string, int64_t> counts = all_substrings(words);
    std::map<std::string, double> wanted;
    for (const auto& [text, count] : counts) {
      const size_t characters = count_characters(text);
      // One that another character always follows says nothing that the longer one does not.
      bool followed = false;
      for (const char* next : {"_", "a", "b", "\u00e9"}) {
        const auto longer = counts.find(text + next);
        followed = followed || (longer != counts.end() && longer->second == count);
      }
      if (characters == 1 || (count >= 2 && !followed)) {
        wanted[text] = static_cast<double>(count) * static_cast<double>(characters);
      }
    }
    double sum = 0;
    for (const auto& [text, weight] : wanted) sum += weight;
    const std::vector<ScoredPiece> seeds = seed_pieces(words, 1000);
    ASSERT_EQ(seeds.size(), wanted.size()) << seed;
    for (const ScoredPiece& piece : seeds) {
      ASSERT_TRUE(wanted.contains(piece.text)) << piece.text;
      EXPECT_NEAR(piece.score, std::log(wanted[piece.text] / sum), 1e-9) << piece.text;
      EXPECT_EQ(piece.character, count_characters(piece.text) == 1);
    }
  }
}

TEST(UnigramSeed, TheHeaviestComeFirst) {
  const std::vector<ScoredPiece> seeds = seed_pieces({{"abcd", 10}, {"xy", 3}}, 1);
  EXPECT_EQ(seeds.size(), 7u);  // six characters and abcd
  EXPECT_EQ(seeds.back().text, "abcd");
}

// The probability of a word over all its cuts, by trying them all.
double probability(std::string_view word, const std::map<std::string_view, double>& pieces) {
  if (word.empty()) return 1;
  double sum = 0;
  for (size_t length = 1; length <= word.size(); ++length) {
    const auto piece = pieces.find(word.substr(0, length));
    if (piece != pieces.end())
      sum += std::exp(piece->second) * probability(word.substr(length), pieces);
  }
  return sum;
}

double log_likelihood(const std::vector<CountedWord>& words,
                      const std::vector<ScoredPiece>& pieces) {
  std::map<std::string_view, double> scores;
  for (const ScoredPiece& piece : pieces) scores[piece.text] = piece.score;
  double sum = 0;
  for (const CountedWord& word : words) {
    sum += static_cast<double>(word.count) * std::log(probability(word.text, scores));
  }
  return sum;
}

TEST(UnigramFit, MakesTheWordsLikelier) {
  for (uint64_t seed = 0; seed < 5; ++seed) {
    const std::vector<CountedWord> words = random_words(seed);
    std::vector<ScoredPiece> pieces = seed_pieces(words, 1000);
    const double before = log_likelihood(words, pieces);
    fit_scores(words, pieces);
    EXPECT_GT(log_likelihood(words, pieces), before) << seed;
  }
}

TEST(UnigramFit, PruningKeepsWhatIsUsedAndEveryCharacter) {
  const std::vector<CountedWord> words = {{"_the", 100}, {"_cat", 30}, {"_tq", 1}};
  std::vector<ScoredPiece> pieces = seed_pieces(words, 1000);
  fit_scores(words, pieces);
  prune_pieces(words, pieces, 9);
  std::vector<std::string> texts;
  for (const ScoredPiece& piece : pieces) texts.push_back(piece.text);
  EXPECT_THAT(texts, ElementsAre("_", "a", "c", "e", "h", "q", "t", "_the", "_cat"));
  prune_pieces(words, pieces, 3);
  EXPECT_EQ(pieces.size(), 7u);
}

// What the words themselves do not need is kept where there is room.
TEST(UnigramFit, KeepsTheLikeliestOfWhatIsUnusedUpToASize) {
  const std::vector<CountedWord> words = {{"_the", 100}, {"_then", 80}, {"_cat", 30}};
  const std::vector<ScoredPiece> seeds = seed_pieces(words, 1000);
  for (const size_t least : {size_t{0}, seeds.size() - 1, seeds.size()}) {
    std::vector<ScoredPiece> pieces = seeds;
    for (int i = 0; i < 20; ++i) fit_scores(words, pieces, least);
    EXPECT_GE(pieces.size(), least);
    EXPECT_LT(pieces.size(), least == 0 ? seeds.size() : seeds.size() + 1);
    for (ScoredPiece& piece : pieces) {
      if (piece.text == "_the" && least > 0) piece.score = -50;  // its letters are likelier
    }
    prune_pieces(words, pieces, seeds.size(), least);
    EXPECT_GE(pieces.size(), least);
  }
}

// Words that come often are pieces as a whole; the vocabulary is still as large as asked for.
TEST(UnigramTrainer, FillsTheVocabularyWhereThereArePieces) {
  std::string text;
  for (int i = 0; i < 20; ++i) text += read_file(test_data("../../LICENSE")).substr(0, 4000);
  const Tokenizer tokenizer = learn(text, {.vocab_size = 700});
  EXPECT_EQ(tokenizer.vocab_size(), 700);
}

TEST(UnigramTrainer, TheLearntTokenizerIsSentencePieces) {
  std::string text;
  for (int i = 0; i < 50; ++i)
    text += "low lower lowest  new newer\u00a0newest wide wider \uff37idest\n";
  const Tokenizer tokenizer = learn(text, {.vocab_size = 40});
  EXPECT_LE(tokenizer.vocab_size(), 40);
  EXPECT_EQ(tokenizer.token_to_id("<unk>"), 0);
  EXPECT_EQ(tokenizer.token_to_id("</s>"), 2);
  const std::vector<int32_t> ids = tokenizer.encode("newest  low\tWide", false);
  EXPECT_EQ(tokenizer.decode(ids, false), "newest low Wide");
  EXPECT_LT(ids.size(), 8u);
  EXPECT_THAT(tokenizer.encode("z", false), ElementsAre(*tokenizer.token_to_id("\u2581"), 0));
  EXPECT_THAT(tokenizer.encode("<s>", false), ElementsAre(1));
}

// As many tokens for a text as Hugging Face's trainer needs, or hardly more.
TEST(UnigramTrainer, LearnsAsWellAsTheReference) {
  const auto goldens =
      nlohmann::json::parse(read_file(test_data("tokenizers/unigram_training.json")));
  for (const auto& golden : goldens) {
    const auto text = golden.at("text").get<std::string>();
    const Tokenizer tokenizer = learn(text, {.vocab_size = golden.at("vocab_size").get<int32_t>()});
    EXPECT_LE(tokenizer.vocab_size(), golden.at("vocab_size").get<int32_t>());
    const auto theirs = golden.at("tokens").get<double>();
    EXPECT_LE(static_cast<double>(tokenizer.encode(text, false).size()), 1.03 * theirs);
  }
}

TEST(UnigramTrainer, DependsOnTheTextsOnly) {
  const auto text = read_file(test_data("../../LICENSE")).substr(0, 4000);
  UnigramTrainer first({.vocab_size = 200}), second({.vocab_size = 200});
  first.feed("alpha beta");
  first.feed(text);
  second.feed(text);
  second.feed("alpha beta");
  EXPECT_EQ(first.train().json(), second.train().json());
}

TEST(UnigramTrainer, ASmallVocabularyLeavesRareCharactersUnknown) {
  const Tokenizer tokenizer = learn("aaa aab bbb abc", {.vocab_size = 6});
  EXPECT_EQ(tokenizer.vocab_size(), 6);
  EXPECT_FALSE(tokenizer.token_to_id("c"));
  EXPECT_THAT(tokenizer.encode("c", false), ElementsAre(*tokenizer.token_to_id("\u2581"), 0));
}

TEST(UnigramTrainer, AnyBytesWillDo) {
  const Tokenizer tokenizer = learn("ab\xFF \xC3 ab", {.vocab_size = 30});
  EXPECT_FALSE(tokenizer.encode("ab", false).empty());
  EXPECT_EQ(learn("", {.vocab_size = 30}).vocab_size(), 3);
}

TEST(UnigramTrainer, RefusesOptionsByName) {
  const auto error_of = [](const UnigramTrainOptions& options) -> std::string {
    try {
      options.validate();
    } catch (const Error& error) {
      return error.what();
    }
    return "no Error";
  };
  EXPECT_EQ(error_of({}), "no Error");
  EXPECT_THAT(error_of({.special_tokens = {"<s>"}}), HasSubstr("needs the special token <unk>"));
  EXPECT_THAT(error_of({.vocab_size = 3}), HasSubstr("vocab_size 3 is not above 3"));
  EXPECT_THAT(error_of({.seed_size = 0}), HasSubstr("seed_size 0"));
}

}  // namespace
}  // namespace ashlar::text
