#include "ashlar/text/pre_tokenizers/word_patterns.h"

#include "ashlar/base/utf8.h"
#include "ashlar/text/regex.h"
#include "ashlar/text/unicode/properties.h"
#include "tests/text/random_text.h"

#include <gtest/gtest.h>

namespace ashlar::text {
namespace {

class WordPatterns : public ::testing::TestWithParam<WordPattern> {
 protected:
  // Cuts the text both ways and compares every word.
  void expect_same_words(const std::string& text) {
    Regex::Searcher searcher(regex_);
    for (size_t at = 0; at < text.size();) {
      const size_t length = match_word(GetParam(), std::string_view(text).substr(at));
      const std::optional<Span> match = searcher.find(text, at);
      ASSERT_TRUE(match) << text;
      ASSERT_EQ(match->begin, at) << text;
      ASSERT_EQ(match->size(), length) << "at byte " << at << " of: " << text;
      at += length;
    }
  }
  Regex regex_{regex_of(GetParam())};
};

TEST_P(WordPatterns, EqualTheRegexOnRandomText) {
  RandomText random("word patterns");
  for (int i = 0; i < 4000; ++i) {
    expect_same_words(random.text(40));
    if (HasFatalFailure()) return;
  }
}

TEST_P(WordPatterns, EqualTheRegexForEveryCodePoint) {
  // Each character among letters, digits, spaces, signs, line breaks and after an apostrophe; of
  // the unassigned and private ones, which behave alike (regex_test.cc tries all), one in 64.
  for (char32_t first = 0; first <= kMaxCodePoint; first += 16) {
    std::string text;
    for (char32_t c = first; c < first + 16; ++c) {
      if (c >= 0xD800 && c <= 0xDFFF) continue;
      const bool plain = category(c) == Category::kCn || category(c) == Category::kCo;
      if (plain && c % 64 != 0) continue;
      std::string one;
      append_utf8(one, c);
      for (const char* before : {"a", " ", "1", "!", "'"}) text += before + one;
      text += one + "b " + one + "\n" + one + "  ";
    }
    expect_same_words(text);
    if (HasFatalFailure()) return;
  }
}

TEST_P(WordPatterns, EqualTheRegexOnEveryShortTextOfTrickyCharacters) {
  const std::string_view alphabet[] = {" ", "\n", "\r", "\t", "a", "s", "1", "!", "'", "\xC5\xBF"};
  constexpr size_t kChars = std::size(alphabet);
  for (size_t code = 0; code < kChars * kChars * kChars * kChars; ++code) {
    std::string text;
    for (size_t rest = code, i = 0; i < 4; ++i, rest /= kChars) text += alphabet[rest % kChars];
    expect_same_words(text);
    if (HasFatalFailure()) return;
  }
}

TEST_P(WordPatterns, AreRecognisedByTheirRegex) {
  EXPECT_EQ(word_pattern_from_regex(regex_of(GetParam())), GetParam());
  EXPECT_EQ(word_pattern_from_regex("x" + std::string(regex_of(GetParam()))), std::nullopt);
}

INSTANTIATE_TEST_SUITE_P(All, WordPatterns,
                         ::testing::Values(WordPattern::kGpt2, WordPattern::kLlama3,
                                           WordPattern::kQwen2));

}  // namespace
}  // namespace ashlar::text
