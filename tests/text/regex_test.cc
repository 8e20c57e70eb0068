#include "ashlar/text/regex.h"

#include "ashlar/base/error.h"
#include "ashlar/base/utf8.h"
#include "ashlar/text/pattern.h"
#include "ashlar/text/unicode/properties.h"

#include <gmock/gmock.h>

namespace ashlar::text {
namespace {

using testing::HasSubstr;

std::string message_of(const std::function<void()>& action) {
  try {
    action();
  } catch (const Error& error) {
    return error.what();
  }
  return "no Error";
}

// Code points that the pattern matches when alone.
template <typename Expected>
void expect_set(const std::string& pattern, Expected&& expected) {
  const Regex regex(pattern);
  Regex::Searcher searcher(regex);
  for (char32_t c = 0; c <= kMaxCodePoint; ++c) {
    if (c >= 0xD800 && c <= 0xDFFF) continue;
    std::string text;
    append_utf8(text, c);
    ASSERT_EQ(searcher.find(text, 0).has_value(), expected(c))
        << pattern << " U+" << std::hex << static_cast<uint32_t>(c);
  }
}

TEST(Regex, ShorthandsMeanUnicode16) {
  expect_set(R"(\s)", is_white_space);
  expect_set(R"([^\S])", is_white_space);
  expect_set(R"(\p{L})", [](char32_t c) { return is_in(c, kLetters); });
  expect_set(R"(\P{N})", [](char32_t c) { return !is_in(c, kNumbers); });
  expect_set(R"([\p{Lu}_])", [](char32_t c) { return category(c) == Category::kLu || c == '_'; });
  expect_set(R"([\w])", is_word_char);
  expect_set(R"([^\W])", is_word_char);
  expect_set(R"([\P{L}\D])",
             [](char32_t c) { return !is_in(c, kLetters) || category(c) != Category::kNd; });
  expect_set(R"(\d)", [](char32_t c) { return category(c) == Category::kNd; });
}

// As Oniguruma reads them: sets are merged, && keeps what both have, ^ goes over all of it.
TEST(Regex, SetsInsideOfSets) {
  const auto is_letter = [](char32_t c) { return is_in(c, kLetters); };
  const auto is_lower = [](char32_t c) { return c >= 'a' && c <= 'z'; };
  expect_set("[a[bc]d]", [](char32_t c) { return c >= 'a' && c <= 'd'; });
  expect_set(R"([^(\s|[.,)]])", [](char32_t c) {
    return !is_white_space(c) && std::u32string_view(U"(|.,)").find(c) == std::u32string_view::npos;
  });
  expect_set(R"([\p{L}&&[^a-z]])", [&](char32_t c) { return is_letter(c) && !is_lower(c); });
  expect_set(R"([^\p{L}&&[^a-z]])", [&](char32_t c) { return !is_letter(c) || is_lower(c); });
  expect_set(R"([\s[^\p{L}]])", [&](char32_t c) { return !is_letter(c); });
  expect_set(R"([^\s[^\p{L}]])", [&](char32_t c) { return is_letter(c); });
  expect_set("[]a]", [](char32_t c) { return c == ']' || c == 'a'; });
  expect_set("[^]a]", [](char32_t c) { return c != ']' && c != 'a'; });
}

TEST(Regex, LeavesOtherSyntaxAlone) {
  for (const char* pattern : {"a\\\\s", R"(\x{12}+)", R"((?<=a)b\n)"}) {
    EXPECT_EQ(mend_pattern(pattern), pattern);
  }
}

TEST(Regex, RefusesWhatItCannotSay) {
  EXPECT_THAT(message_of([] { Regex("[a[b]"); }), HasSubstr("a set that begins with [ has no end"));
  EXPECT_THAT(message_of([] { Regex(std::string(40, '[') + "]"); }),
              HasSubstr("sets inside of sets, more than 16 deep"));
  EXPECT_EQ(message_of([] { Regex("[[:^alpha:]]"); }),
            R"(pattern "[[:^alpha:]]": [:^alpha:] is not known here)");
  std::string hostile;
  for (int i = 0; i < 20000; ++i) hostile += R"(\b)";
  EXPECT_THAT(message_of([&] { Regex{hostile}; }), HasSubstr("too long: its sets written out"));
}

TEST(Regex, ReadsRubysRepetitionsAndLines) {
  const auto replaced = [](const std::string& regex, std::string_view text) {
    const JsonDocument json(R"({"Regex": ")" + regex + R"("})", "here");
    return replace_all(Pattern::from_json(json.root()), text, "-");
  };
  EXPECT_EQ(replaced("[0-9]{1,3}+", "1234567 8"), "- -");
  EXPECT_EQ(replaced("(a|b){2}+c", "ababc"), "-");
  EXPECT_EQ(replaced("ba{,2}c", "bc baac baaac"), "- - baaac");
  EXPECT_EQ(replaced("[a-z&&[^b]]{2}", "acbacx"), "-b-x");
  EXPECT_EQ(replaced("^x", "x\nxx"), "-\n-x");
  EXPECT_EQ(replaced("(?m:a.b)", "a\nb"), "-");
}

TEST(Regex, FindsTheLeftmostMatch) {
  const Regex regex("b+");
  Regex::Searcher searcher(regex);
  EXPECT_EQ(searcher.find("abbcb", 0), (Span{1, 3}));
  EXPECT_EQ(searcher.find("abbcb", 3), (Span{4, 5}));
  EXPECT_EQ(searcher.find("abbcb", 5), std::nullopt);
}

TEST(Regex, NamesThePatternThatDoesNotParse) {
  EXPECT_THAT(message_of([] { Regex("(a"); }), HasSubstr("pattern \"(a\" is not a regular"));
}

TEST(Regex, GivesUpWithAnErrorOnACatastrophicPattern) {
  const Regex regex("(?:a|aa)+$");
  Regex::Searcher searcher(regex);
  const std::string text(60, 'a');
  EXPECT_THAT(message_of([&] { searcher.find(text + "b", 0); }),
              HasSubstr("gives up at byte 0 of a text of 61 bytes"));
  EXPECT_EQ(searcher.find(text, 0), (Span{0, 60}));
}

TEST(Regex, WordsEndWhereOnigurumasDo) {
  const JsonDocument json(R"({"Regex": "\\b"})", "here");  // marks and joiners belong to words
  EXPECT_EQ(replace_all(Pattern::from_json(json.root()),
                        "a\xCC\x81"
                        "b c\xE2\x80\xBF"
                        "d",
                        "|"),
            "|a\xCC\x81"
            "b| |c\xE2\x80\xBF"
            "d|");
  const JsonDocument hex(R"({"Regex": "[\\hx]+|\\H"})", "here");
  EXPECT_EQ(replace_all(Pattern::from_json(hex.root()), "ax0 g", "-"), "---");
}

TEST(Pattern, CountsEmptyMatchesAsOnigurumaDoes) {
  Pattern literal = Pattern::literal("");
  EXPECT_EQ(replace_all(literal, "ab", "x"), "xaxbx");
  const JsonDocument json(R"({"Regex": "b*"})", "here");
  EXPECT_EQ(replace_all(Pattern::from_json(json.root()),
                        "abb\xC3\xA4"
                        "cb",
                        "x"),
            "xax\xC3\xA4"
            "xcx");
}

}  // namespace
}  // namespace ashlar::text
