#include "ashlar/base/shown_text.h"

#include <gtest/gtest.h>

namespace ashlar {
namespace {

TEST(ShownText, IsQuotedAndCut) {
  EXPECT_EQ(shown_text("abc"), "'abc'");
  EXPECT_EQ(shown_text(""), "''");
  EXPECT_EQ(shown_text("abcdef", 3), "'abc...'");
  EXPECT_EQ(shown_text("abc", 3), "'abc'");
  EXPECT_EQ(on_one_line("aé", 2), "a...");  // never within a character
  EXPECT_EQ(on_one_line("aé", 3), "aé");
}

TEST(ShownText, HasNoControlCharacters) {
  EXPECT_EQ(on_one_line("a\n\x1b[31m\x7f", 99), "a\\x0a\\x1b[31m\\x7f");
  EXPECT_EQ(shown_text(std::string_view("\0", 1)), "'\\x00'");
}

TEST(ShownText, IsUtf8) {
  EXPECT_EQ(on_one_line("é日👍", 99), "é日👍");
  EXPECT_EQ(on_one_line("\xff\xfe", 99), "\\xff\\xfe");
  EXPECT_EQ(on_one_line("\xe6\x97", 99), "\\xe6\\x97");  // cut short
  EXPECT_EQ(on_one_line("\xc0\x80", 99), "\\xc0\\x80");  // overlong
  EXPECT_EQ(on_one_line("\xe0\x80\x80", 99), "\\xe0\\x80\\x80");
  EXPECT_EQ(on_one_line("\xed\xa0\x80", 99), "\\xed\\xa0\\x80");  // a surrogate
  EXPECT_EQ(on_one_line("\xf4\x90\x80\x80", 99), "\\xf4\\x90\\x80\\x80");
}

}  // namespace
}  // namespace ashlar
